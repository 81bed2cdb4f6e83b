"""LiveKit's plugin for OpenAI, as its agents use it. `python use_livekit.py URL WAV`."""

import asyncio
import json
import sys
import wave

from livekit import rtc
from livekit.plugins import openai

url, wav = sys.argv[1:3]
how = {"base_url": f"{url}/v1", "api_key": "none"}
WORDS = "a b c d e f g h i j"


async def heard() -> str:
    with wave.open(wav, "rb") as file:
        pcm, rate = file.readframes(file.getnframes()), file.getframerate()
    frames = [
        rtc.AudioFrame(piece, rate, 1, len(piece) // 2)
        for at in range(0, len(pcm), rate // 5)
        for piece in [pcm[at : at + rate // 5]]
    ]
    async with openai.STT(model="whisper-1", **how) as ear:
        event = await ear.recognize(frames)
    return event.alternatives[0].text


async def said(**more: str) -> dict[str, object]:
    pcm, rate = b"", 0
    async with (
        openai.TTS(model="gpt-4o-mini-tts", voice="ash", **more, **how) as mouth,
        mouth.synthesize(WORDS) as stream,
    ):
        async for event in stream:
            pcm, rate = pcm + bytes(event.frame.data), event.frame.sample_rate
    with open("spoken.pcm", "wb") as file:
        file.write(pcm)
    return {"rate": rate, "samples": len(pcm) // 2}


async def main() -> None:
    text, by_default = await heard(), await said()
    print(json.dumps({"text": text, "default": by_default, **await said(response_format="pcm")}))


asyncio.run(main())
