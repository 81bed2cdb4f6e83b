"""pocketsphinx in a process of its own, because it holds Python's lock while it works.

parent  -> {} + one utterance of 16-bit PCM at 16 kHz
worker  -> {"words": [[text, start, end, probability], ...]}     seconds from its start
worker  -> {"done": true}
"""

from __future__ import annotations

from typing import Any

from nodes.engines import working

RATE = 16_000  # Hz, what the model was trained on
SETTINGS: dict[str, Any] = {"loglevel": "FATAL"}
NOT_A_WORD = ("<", "[", "+")  # sentence borders, silence, coughs


def load() -> tuple[dict[str, Any], working.Answerer]:
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, **SETTINGS)
    frames_per_second = decoder.config["frate"]

    def answer(_asked: dict[str, Any], pcm: bytes, say: working.Say) -> None:
        if not pcm:  # it would be stuck for ever
            return
        decoder.reinit_feat()
        decoder.start_utt()
        try:
            decoder.process_raw(pcm, full_utt=True)
        finally:
            decoder.end_utt()
        words = [
            (
                spelled(part.word),
                part.start_frame / frames_per_second,
                (part.end_frame + 1) / frames_per_second,
                min(1.0, part.prob),
            )
            for part in decoder.seg() or ()
            if not part.word.startswith(NOT_A_WORD)
        ]
        say({"words": words})

    return {}, answer


def spelled(entry: str) -> str:
    """A word of the dictionary without the number of its pronunciation: "read" of "read(2)"."""
    return entry.partition("(")[0]


if __name__ == "__main__":
    working.serve(load)
