"""espeak-ng, driven through ctypes in a process of its own.

    parent  -> {"list": true}
    worker  -> {"voices": [{"file", "tags"}, ...]}    the audible ones; see `voices`
    parent  -> {"text", "voice", "wpm", "range"}
               voice: the file of a voice, and "+variant"; range: of pitch (0 to 100)
    worker  -> {} + 16-bit PCM                        any number
    worker  -> {"done": true}

espeak-ng has global state: nothing else in this process may use it.
"""

import array
import contextlib
import ctypes as c
import itertools
import operator
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nodes.engines import worker_main
from nodes.engines.link import Link
from nodes.engines.sandbox import Sandbox

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the sound goes to the callback
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: without it, a wrong path ends the process
UTF8 = 1  # espeakCHARS_UTF8
END_PAUSE = 0x1000  # espeakENDPAUSE: a text ends with the pause of its last sentence
RATE, RANGE = 1, 4  # espeakRATE (words per minute) and espeakRANGE (0 to 100; 50 is its own)
SLOWEST = 80  # words per minute, espeak-ng's minimum
STRETCH_BUFFER = 1 << 14  # bytes of stretched sound read at a time
PIECE_MS = 200  # milliseconds of sound per callback
DATA = b"."  # the working folder: espeak-ng 1.52 copies a path into 160 bytes unchecked
SECONDS = 60  # of processor time for one text; the longest takes two
NEEDS_OTHER_SOFTWARE = "mb/"  # voices that need the program MBROLA
AUDIBILITY_TEXT = "a 1"  # every voice can speak a letter or a number; some only one of them
LISTING_WPM, LISTING_RANGE = 300, 50  # for this text: fast
STDOUT, STDERR = 1, 2  # file descriptors
# Least seconds and 16-bit peak; a voice without a dictionary makes 9 ms of silence
AUDIBLE = (0.05, 500)


class _Voice(c.Structure):
    _fields_ = (
        ("name", c.c_char_p),
        ("languages", c.c_void_p),  # (a priority byte, a tag, a zero) for each, then a zero
        ("identifier", c.c_char_p),
        ("gender", c.c_ubyte),
        ("age", c.c_ubyte),
        ("variant", c.c_ubyte),
        ("xx1", c.c_ubyte),
        ("score", c.c_int),
        ("spare", c.c_void_p),
    )


SoundSink = Callable[[bytes], None]
_OnSound = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.c_void_p)


class Espeak:
    """The library, initialized."""

    def __init__(self) -> None:
        import espeakng_loader

        os.chdir(data_folder())
        self._lib = lib = c.CDLL(espeakng_loader.get_library_path())
        lib.espeak_Initialize.argtypes = [c.c_int, c.c_int, c.c_char_p, c.c_int]
        lib.espeak_SetVoiceByName.argtypes = [c.c_char_p]
        lib.espeak_SetParameter.argtypes = [c.c_int, c.c_int, c.c_int]
        lib.espeak_Synth.argtypes = [
            *(c.c_char_p, c.c_size_t, c.c_uint, c.c_int, c.c_uint, c.c_uint),
            *(c.c_void_p, c.c_void_p),
        ]
        lib.espeak_SetSynthCallback.argtypes = [_OnSound]
        lib.espeak_SetSynthCallback.restype = None
        lib.sonicCreateStream.restype = c.c_void_p
        lib.sonicSetSpeed.argtypes = [c.c_void_p, c.c_float]
        lib.sonicFlushStream.argtypes = lib.sonicDestroyStream.argtypes = [c.c_void_p]
        lib.sonicWriteShortToStream.argtypes = [c.c_void_p, c.c_char_p, c.c_int]
        lib.sonicReadShortFromStream.argtypes = [c.c_void_p, c.c_void_p, c.c_int]
        lib.espeak_ListVoices.argtypes = [c.c_void_p]
        lib.espeak_ListVoices.restype = c.POINTER(c.POINTER(_Voice))
        self.rate = lib.espeak_Initialize(SYNCHRONOUS, PIECE_MS, DATA, DONT_EXIT)
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng cannot use its data folder {Path.cwd()}")
        self.variants = sorted(p.name for p in Path("voices", "!v").iterdir())
        self._on_sound: SoundSink = lambda pcm: None
        self._error: Exception | None = None  # raised in the callback
        self._callback = _OnSound(self._on_samples)  # one for all jobs: the sandbox forbids memory
        lib.espeak_SetSynthCallback(self._callback)  # for machine code

    def voices(self) -> list[dict[str, Any]]:
        """The audible voices in espeak-ng's order: `file` selects one, `tags` are its languages as
        (priority, tag), the best (1) first.

        espeak-ng also lists voices without a dictionary in this installation: they are silent.
        """
        listed = self._lib.espeak_ListVoices(None)
        found = []
        for voice in itertools.takewhile(bool, (listed[i] for i in itertools.count())):
            file = voice.contents.identifier.decode()
            if not file.startswith(NEEDS_OTHER_SOFTWARE):
                tags = sorted(_tags(voice.contents.languages), key=operator.itemgetter(0))
                found.append({"file": file, "tags": tags})
        with _without_stderr():  # espeak-ng reports each missing dictionary there
            return [voice for voice in found if self._is_audible(voice["file"])]

    def _is_audible(self, file: str) -> bool:
        spoken = bytearray()
        request = {"text": AUDIBILITY_TEXT, "voice": file, "range": LISTING_RANGE}
        try:
            self._speak(request, LISTING_WPM, spoken.extend)
        except RuntimeError:
            return False
        seconds, peak = AUDIBLE
        samples = array.array("h", bytes(spoken))
        return len(samples) >= seconds * self.rate and max(map(abs, samples)) >= peak

    def synth(self, request: Mapping[str, Any], link: Link) -> None:
        """Speak the text and send the sound on `link`, piece by piece."""
        wpm = request["wpm"]
        with self._stretched(min(1.0, wpm / SLOWEST), lambda pcm: link.send({}, pcm)) as write:
            status = self._speak(request, max(wpm, SLOWEST), write)
        if status:
            raise RuntimeError(f"espeak-ng failed with status {status}")

    def _on_samples(self, samples: Any, count: int, _events: Any) -> int:
        """The callback. A result other than 0 stops espeak-ng; an error is kept for `_speak`."""
        if not samples or count <= 0 or self._error is not None:
            return self._error is not None
        try:
            self._on_sound(c.string_at(samples, 2 * count))
        except Exception as exc:
            self._error = exc
        return self._error is not None

    def _speak(self, request: Mapping[str, Any], wpm: int, on_sound: SoundSink) -> int:
        """Speak into `on_sound`. Returns espeak-ng's status."""
        if self._lib.espeak_SetVoiceByName(request["voice"].encode()):
            raise RuntimeError(f"espeak-ng rejects its own voice {request['voice']!r}")
        self._lib.espeak_SetParameter(RATE, wpm, 0)
        self._lib.espeak_SetParameter(RANGE, request["range"], 0)
        self._on_sound, self._error = on_sound, None
        data = request["text"].encode() + b"\0"
        status = int(self._lib.espeak_Synth(data, len(data), 0, 0, 0, UTF8 | END_PAUSE, None, None))
        if self._error is not None:
            raise self._error
        return status

    @contextlib.contextmanager
    def _stretched(self, speed: float, on_piece: SoundSink) -> Iterator[SoundSink]:
        """Stretch sound to a speed below espeak-ng's minimum, by the Sonic code in its library."""
        if speed == 1.0:
            yield on_piece
            return
        sonic = self._lib.sonicCreateStream(self.rate, 1)
        buffer = c.create_string_buffer(STRETCH_BUFFER)

        def drain() -> None:
            while count := self._lib.sonicReadShortFromStream(sonic, buffer, STRETCH_BUFFER // 2):
                on_piece(buffer.raw[: 2 * count])

        def write(pcm: bytes) -> None:
            self._lib.sonicWriteShortToStream(sonic, pcm, len(pcm) // 2)
            drain()

        try:
            self._lib.sonicSetSpeed(sonic, speed)
            yield write
            self._lib.sonicFlushStream(sonic)
            drain()
        finally:
            self._lib.sonicDestroyStream(sonic)


def _tags(listed: int) -> Iterator[tuple[int, str]]:
    """The priorities (1 is the highest) and tags of a voice, read from C memory."""
    while priority := c.string_at(listed, 1)[0]:
        tag = c.string_at(listed + 1)
        yield priority, tag.decode()
        listed += len(tag) + 2


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard what C code writes to standard error."""
    kept = os.dup(STDERR)
    try:
        os.dup2(STDOUT, STDERR)  # a worker's standard output is /dev/null
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


def data_folder() -> Path:
    """The folder of dictionaries and voices, which espeak-ng reads while it speaks."""
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    espeak = Espeak()
    hello = {"rate": espeak.rate, "variants": espeak.variants}

    def answer(request: dict[str, Any], _payload: bytes, link: Link) -> None:
        if "list" in request:
            link.send({"voices": espeak.voices()})
        else:
            espeak.synth(request, link)

    return hello, answer


if __name__ == "__main__":
    worker_main.serve(load, Sandbox(seconds=SECONDS, readable=(data_folder(),)))
