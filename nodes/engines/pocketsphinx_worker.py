"""pocketsphinx in a process of its own, because it holds Python's lock while it works.

parent  -> {"samples": count} + the samples' file (see `privox_dht.recording`), at 16 kHz
worker  -> {"words": [[text, start, end, probability], ...], "at": seconds}     for each utterance
worker  -> {"done": true}

Times of words are from the start of their utterance. Noise is added first, since the model was
trained with noise, and the pauses of synthetic speech are digital silence. It does not change the
results of real recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from nodes.engines import benchmark, pauses, worker_main
from nodes.engines.link import Link
from nodes.engines.sandbox import MIB, Sandbox
from privox_dht import limits
from privox_dht.recording import Recording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Words = list[tuple[str, float, float, float]]  # text, start, end, probability

RATE = 16_000  # Hz, what the model was trained on
SETTINGS: dict[str, Any] = {"loglevel": "FATAL"}
NOISE = 10  # standard deviation, in steps of 16 bits: 70 dB below full scale
WARM_SECONDS = 0.5
MEMORY = 1024 * MIB  # bytes; the longest recording takes 440 MiB
SECONDS = int(2 * limits.MAX_AUDIO_SECONDS)  # of processor time: half of real time
NOT_A_WORD = ("<", "[", "+")  # sentence borders, silence, coughs


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, **SETTINGS)
    for _ in _utterances(decoder, benchmark.babble(WARM_SECONDS, RATE)):
        pass  # the first use imports modules; the sandbox would forbid that

    def answer(request: dict[str, Any], _payload: bytes, link: Link) -> None:
        [file] = link.files
        for words, at in _utterances(decoder, Recording(RATE, file, request["samples"]).samples()):
            link.send({"words": words, "at": at})

    return {}, answer


def _utterances(decoder: Any, pcm: NDArray[np.float32]) -> Iterator[tuple[Words, float]]:
    """The words of each utterance, and when it begins, in seconds."""
    for start, end in pauses.utterances(pcm, RATE):
        if words := _words(decoder, with_noise(pcm[start:end])):
            yield words, start / RATE


def _words(decoder: Any, pcm: bytes) -> Words:
    """The words of one utterance."""
    if not pcm:  # the decoder would hang
        return []
    frames_per_second = decoder.config["frate"]
    decoder.reinit_feat()
    decoder.start_utt()
    try:
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()
    return [
        (
            without_variant(part.word),
            part.start_frame / frames_per_second,
            (part.end_frame + 1) / frames_per_second,
            min(1.0, part.prob),
        )
        for part in decoder.seg() or ()
        if not part.word.startswith(NOT_A_WORD)
    ]


def with_noise(pcm: NDArray[np.float32]) -> bytes:
    """16-bit samples with noise added; always the same noise."""
    import numpy

    noise = _noise(round(pauses.LONGEST * RATE))
    loud = pcm * 32_767 + numpy.resize(noise, pcm.size)
    return loud.clip(-32_768, 32_767).astype("<i2").tobytes()


@cache
def _noise(samples: int) -> NDArray[np.float32]:
    import numpy

    return numpy.random.default_rng(0).normal(0, NOISE, samples).astype(numpy.float32)


def without_variant(entry: str) -> str:
    """A dictionary's word without the number of its pronunciation: "read" for "read(2)"."""
    return entry.partition("(")[0]


if __name__ == "__main__":
    worker_main.serve(load, Sandbox(memory=MEMORY, seconds=SECONDS))
