"""Two households that scatter over one producer each get their share of its slots."""

import asyncio
import time

import pytest
from api_kit import clip, field, form
from households import ANOTHER, HOUSEHOLD, post, producer, until_taken

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(120)]
AGAIN = 10  # times a piece is sent again, on average
AGAIN_AFTER = 1.0  # seconds that a 503 asks for


@pytest.mark.parametrize("pieces", [40, pytest.param(200, marks=pytest.mark.soak)])
async def test_two_who_scatter_over_four_slots_are_done_at_about_the_same_time(pieces: int) -> None:
    """The first to come has every slot, and hears first when one is free."""
    piece = form(field("model", "echo"), field("file", clip(20), "a.wav"))
    async with producer("echo:0.1", 4) as server:
        first = asyncio.create_task(scattered(server.port, HOUSEHOLD, piece, pieces))
        await until_taken(server)
        took = await asyncio.gather(first, scattered(server.port, ANOTHER, piece, pieces))
    print(f"\n{pieces} pieces each: {took[0]:.1f} s and {took[1]:.1f} s")
    assert max(took) < 1.3 * min(took)


async def scattered(port: int, host: str, piece: bytes, pieces: int) -> float:
    """Seconds for so many pieces, four at a time, none of which waits in the producer's queue."""
    began, left = time.monotonic(), iter(range(pieces))

    async def one_piece() -> None:
        for _ in range(pieces * AGAIN):
            if (await post(port, host, piece, wait=False))[0] == 200:
                return
            await asyncio.sleep(AGAIN_AFTER)
        raise TimeoutError("it never had its turn")

    async def lane() -> None:
        for _ in left:
            await one_piece()

    await asyncio.gather(*(lane() for _ in range(4)))
    return time.monotonic() - began
