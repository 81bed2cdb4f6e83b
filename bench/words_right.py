"""Ten sentences from text to speech to a WAV file and back to text, by the embedded engines.

    espeak-ng  ->  WAV  ->  decoder  ->  pocketsphinx  ->  how many words came back, in order

Exits with 1 when the median is under the aim.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from contextlib import AsyncExitStack

from bench.measure import options
from nodes.demo import words_right
from nodes.engines import make_engine
from privox_dht.audio import decode, wav
from privox_dht.speech import SpeechRequest, TranscriptionRequest

AIM = 0.8  # share of words right, at the median
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Please open the window before you go to bed tonight.",
    "A machine on the other side of the world is speaking to you.",
    "We will meet at the station at half past seven.",
    "The weather is nice today, but it may rain tomorrow.",
    "She sells fresh bread and butter at the market.",
    "Nobody knows how many stars there are in the sky.",
    "My neighbor has a small garden behind his house.",
    "The children were playing in the street until dark.",
    "It is never too late to learn something new.",
)


async def main() -> int:
    given = options(__doc__ or "", voice="")
    rows = await heard_again(given.voice)
    shares = [right / words for _, _, right, words in rows]
    median, worst = statistics.median(shares), min(shares)
    if given.json:
        fields = ("said", "heard", "right", "words")
        table = [dict(zip(fields, row, strict=True)) for row in rows]
        print(json.dumps({"median": median, "worst": worst, "aim": AIM, "sentences": table}))
    else:
        for said, heard, right, words in rows:
            print(f"{right:3}/{words:<3} {said}\n        {heard}")
        print(
            f"\nmedian {median:.0%}, worst {worst:.0%}, mean {statistics.mean(shares):.0%}", end=""
        )
        print(f" (aim: median {AIM:.0%})")
    return 0 if median >= AIM else 1


async def heard_again(voice: str) -> list[tuple[str, str, int, int]]:
    """Of each sentence: what was said, what was heard, words right, words."""
    async with AsyncExitStack() as stack:
        speaker = make_engine("tts", "cpu", "espeak-ng")
        transcriber = make_engine("stt", "cpu", "pocketsphinx")
        for engine in (speaker, transcriber):
            await engine.start()
            stack.push_async_callback(engine.close)
        rows = []
        for said in SENTENCES:
            sounds = [sound async for sound in speaker.speak(SpeechRequest(said, voice=voice))]
            file = wav(b"".join(sound.pcm for sound in sounds), sounds[0].rate)
            pcm = decode(file, transcriber.rate)
            segments = [s async for s in transcriber.transcribe(pcm, TranscriptionRequest())]
            heard = " ".join(segment.text for segment in segments)
            rows.append((said, heard, *words_right(said, heard)))
        return rows


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
