"""The gateway's view of the mesh: looked up regularly, so that requests need not wait for it.

view.records   of the producers of STT and TTS, some seconds old
view.engines   what they can do together
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
    """The records of other producers, looked up regularly while `run` runs.

    Args:
        own: our own peer id, which is left out.
        on_change: called after each look-up.
    """

    def __init__(self, mesh: Mesh, own: str, on_change: Callable[[], None]) -> None:
        self._mesh = mesh
        self._own = own
        self._on_change = on_change
        self._refreshing: asyncio.Task[None] | None = None
        self._voices: Voices = NO_VOICES
        self._asked_for_voices: frozenset[tuple[str, str, tuple[str, ...]]] = frozenset()
        self._voices_asked = 0  # how often, for these producers
        self._since_voices = 0  # look-ups since then
        self.records: Sequence[Record] = ()
        self.engines: Sequence[EngineInfo] = ()

    def __repr__(self) -> str:
        return f"<MeshView {len(self.records)} records, {len(self.engines)} engines>"

    def offers(self, service: str) -> bool:
        """Whether a producer offers this."""
        return any(record.kind == service for record in self.records)

    async def run(self) -> None:
        """Refresh regularly, until cancelled."""
        try:
            while True:
                await self.refresh()
                await asyncio.sleep(gateway_limits.REFRESH_EVERY)
        finally:
            if self._refreshing is not None:
                self._refreshing.cancel()

    async def refresh(self, within: float = gateway_limits.REFRESH_WAIT) -> None:
        """Look up now, for `within` seconds at most; concurrent calls share one look-up."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._lookup())
        await asyncio.wait([self._refreshing], timeout=within)

    async def _lookup(self) -> None:
        try:
            found = latest_per_key(await self._mesh.producers(SERVICES))
            self.records = tuple(r for r in found if not r.withdrawn and r.peer_id != self._own)
            self.engines = engines_of(self.records, self._voices)
            self._on_change()
            await self._refresh_voices()
        except JobError as exc:
            log.debug("looking up the producers failed: %s", exc)
        except Exception as exc:
            log_bug("looking up the producers", exc)

    async def _refresh_voices(self) -> None:
        """Ask the producers whose records do not list all their voices, once each; all of them
        again, ever less often, while one of them does not answer."""
        asked = frozenset((r.peer_id, r.engine, r.models) for r in self.records if r.more)
        is_new = asked != self._asked_for_voices
        self._since_voices += 1
        if is_new or (self._voices.silent and self._since_voices >= 2**self._voices_asked):
            self._voices = await self._mesh.voices() if asked else NO_VOICES
            self._asked_for_voices = asked
            self._voices_asked = 1 if is_new else self._voices_asked + 1
            self._since_voices = 0
            self.engines = engines_of(self.records, self._voices)
