"""What a node finds out about its codecs before it lends itself: in real worker processes, with
the PyAV that they find."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodes import sound_check
from nodes.codecs import Codecs
from privox_dht import errors

pytest.importorskip("av")
BOTH = pytest.mark.parametrize("service", ["stt", "tts"])
Check = Callable[[str], Awaitable[None]]
MISSING = "import sys; sys.modules['av'] = None"
CANNOT_READ = """
import av
real = av.open
def open(file, mode="r", **options):
    if mode == "r":
        raise TypeError("open() got an unexpected keyword argument 'metadata_errors'")
    return real(file, mode, **options)
av.open = open
"""
CANNOT_START = "import av; av.open = None"
LOSES_HALF = """
import av
real = av.AudioResampler
av.AudioResampler = lambda form, layout, rate: real(form, layout, rate // (1 + (form == "s16")))
"""


@pytest.fixture
def change_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], object]:
    """Have every worker run this before anything else."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return (tmp_path / "sitecustomize.py").write_text


@asynccontextmanager
async def checking() -> AsyncIterator[Check]:
    async with Codecs(1) as codecs:
        await sound_check.start(codecs)
        yield lambda service: sound_check.check(codecs, service)


@BOTH
async def test_where_sound_can_be_read_and_written_nothing_is_said(service: str) -> None:
    async with checking() as check:
        await check(service)


async def test_a_pyav_that_cannot_read_is_told_before_anything_is_served(
    change_pyav: Callable[[str], object],
) -> None:
    """PyAV 19 dropped an option: nodes announced themselves, and every job failed."""
    change_pyav(CANNOT_READ)
    async with checking() as check:
        with pytest.raises(
            errors.EngineUnavailable, match=r"cannot be read .*metadata_err"
        ) as unavailable:
            await check("stt")
        assert "pip install" in unavailable.value.fix
        await check("tts")  # which needs no reading


async def test_a_pyav_that_cannot_even_be_tried_is_told(
    change_pyav: Callable[[str], object],
) -> None:
    change_pyav(CANNOT_START)
    with pytest.raises(errors.EngineUnavailable, match="no sound can be read or written here"):
        async with checking():
            pass


async def test_without_pyav_nothing_is_heard_and_what_installs_it_is_said(
    change_pyav: Callable[[str], object],
) -> None:
    change_pyav(MISSING)
    async with checking() as check:
        with pytest.raises(errors.EngineUnavailable, match="PyAV is not installed") as unavailable:
            await check("stt")
        assert unavailable.value.fix == "pip install 'privox-dht[audio]'"
        await check("tts")  # it speaks WAV


async def test_a_decoder_that_loses_sound_is_not_lent(
    change_pyav: Callable[[str], object],
) -> None:
    change_pyav(LOSES_HALF)
    async with checking() as check:
        with pytest.raises(errors.EngineUnavailable, match=r"is read as 0\.5. s"):
            await check("stt")
