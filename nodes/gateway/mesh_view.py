"""What the gateway knows of the mesh: looked up every now and then, so that no page waits for it.

view.records     the producers of STT and TTS, as known lately
view.engines   what can be asked for
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from nodes.gateway import gateway_limits
from nodes.gateway.mesh_engines import NO_VOICES, engines_of
from privox_dht.errors import JobError
from privox_dht.http.connections import log_bug
from privox_dht.mesh import Mesh
from privox_dht.records import Record, latest_per_key
from privox_dht.speech import SERVICES, EngineInfo
from privox_dht.voices import Voices

log = logging.getLogger("privox.gateway")


class MeshView:
    """Records of the others in a mesh, renewed for as long as `run` runs.

    Args:
        own: our own peer id, which is left out; or nothing.
        on_change: called when they were looked up again.
    """

    def __init__(
        self, mesh: Mesh, own: str = "", on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._mesh = mesh
        self._own = own
        self._on_change = on_change
        self._looking: asyncio.Task[None] | None = None
        self._agreeing_holders: Voices = NO_VOICES
        self._asked_for_voices: frozenset[tuple[str, str, tuple[str, ...]]] = frozenset()
        self.records: Sequence[Record] = ()
        self.engines: Sequence[EngineInfo] = ()

    def __repr__(self) -> str:
        return f"<MeshView {len(self.records)} records, {len(self.engines)} engines>"

    def offers(self, service: str) -> bool:
        """Whether somebody does this."""
        return any(record.kind == service for record in self.records)

    async def run(self) -> None:
        """Look every now and then, until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(gateway_limits.LOOK_EVERY)
        finally:
            if self._looking is not None:
                self._looking.cancel()

    async def look(self, within: float = gateway_limits.LOOK) -> None:
        """Look up now, for so many seconds at most; concurrent calls share it."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._lookup())
        await asyncio.wait([self._looking], timeout=within)

    async def _lookup(self) -> None:
        try:
            found = latest_per_key(await self._mesh.producers(SERVICES))
            self.records = tuple(r for r in found if not r.withdrawn and r.peer_id != self._own)
            self.engines = engines_of(self.records, self._agreeing_holders)
            self._on_change()
            await self._look_for_voices()
        except JobError as exc:
            log.debug("the mesh was not looked up: %s", exc)
        except Exception as exc:
            log_bug("looking at the mesh", exc)

    async def _look_for_voices(self) -> None:
        """Ask those whose records have no room for all of their voices, once for each of them."""
        asked = frozenset((r.peer_id, r.engine, r.models) for r in self.records if r.more)
        if asked != self._asked_for_voices:
            self._agreeing_holders = await self._mesh.voices() if asked else NO_VOICES
            self._asked_for_voices = asked
            self.engines = engines_of(self.records, self._agreeing_holders)
