"""Nodes in this process that hear words made of tones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_kit import running
from tone_talk import knows_tones
from tone_words import CONTROL, LANGUAGE

from nodes.node import Node


@asynccontextmanager
async def producers(
    folder: Path,
    patch: pytest.MonkeyPatch,
    count: int,
    *,
    languages: Sequence[str] = (),
    **config: Any,
) -> AsyncIterator[tuple[Node, list[Path]]]:
    """A farm, and some that are parked there."""
    knows_tones(folder, patch)
    patch.syspath_prepend(str(folder / "site"))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        farm = await enter(running(folder / "farm", farm=True, relay_port=0))
        await farm.announcer.announce()
        nodes = []
        for name in range(count):
            patch.setenv(CONTROL, str(folder / f"tones{name}"))
            patch.setenv(LANGUAGE, languages[name] if languages else "")
            (folder / f"tones{name}").mkdir()
            nodes.append(await enter(running(
                folder / f"p{name}", "stt/cpu/tone-words", neighbour=farm.dht.port, **config,
            )))  # fmt: skip
        for node in nodes if config else ():
            await node.farm_pool.parked(20.0)
            await node.announcer.announce()
        yield farm, [folder / f"tones{name}" / "sound" for name in range(count)]
