"""SVOX Pico (py-nanotts) in a process of its own.

    parent  -> {"texts", "voice", "speed"}
    worker  -> {} + 16-bit PCM at 16 kHz              for each text, as it is spoken
    worker  -> {"done": true}

Pico holds Python's lock while it speaks, returns the whole sound of a text at once, and executes
markup, including <genfile file="...">: `pico` removes it before.
"""

import array
import os
from pathlib import Path
from typing import Any

from nodes.engines import worker_main
from nodes.engines.link import Link
from nodes.engines.sandbox import Sandbox
from privox_dht.errors import RequestRejected

RATE = 16_000  # Hz, of all its voices
VOLUME = 0.5  # of its default, which clips loud vowels; pocketsphinx misunderstands these
AUDIBLE = 1000  # 16-bit peak; for unknown letters, Pico clicks at 100
SECONDS = 60  # of processor time for one text; the longest takes two
HERE = "."  # the working folder, which has the voices


def voices_folder() -> Path:
    """The folder of the voices, which Pico reads for each text."""
    import py_nanotts

    return Path(py_nanotts.__file__).parent / "lang"


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    import py_nanotts
    from py_nanotts._nanotts import speak

    os.chdir(voices_folder())

    def answer(request: dict[str, Any], _payload: bytes, link: Link) -> None:
        audible = not any(map(_has_words, request["texts"]))
        for text in request["texts"]:
            try:
                pcm = speak(
                    text=text,
                    voice=request["voice"],
                    speed=request["speed"],
                    pitch=None,
                    volume=VOLUME,
                    lingware_path=HERE,
                )
            except RuntimeError as exc:  # some numbers among unknown letters
                raise RequestRejected("pico cannot speak this text", param="input") from exc
            audible = audible or max(array.array("h", pcm), default=0) >= AUDIBLE
            if pcm:
                link.send({}, pcm)
        if not audible:
            raise RequestRejected(
                f"the text has no word that {request['voice']} can speak", param="input"
            )

    return {"voices": [voice.value for voice in py_nanotts.Voice]}, answer


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


if __name__ == "__main__":
    worker_main.serve(load, Sandbox(seconds=SECONDS, readable=(voices_folder(),)))
