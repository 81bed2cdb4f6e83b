"""OpenAI's own library for Python: sync, async, streaming. `python use_openai.py URL WAV`."""

import asyncio
import json
import sys

from openai import AsyncOpenAI, OpenAI

url, wav = sys.argv[1:3]
how = {"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
WORDS = "a b c d e f g h i j"


def sync() -> dict[str, object]:
    with OpenAI(**how) as sdk, open(wav, "rb") as file:
        heard = sdk.audio.transcriptions.create(model="whisper-1", file=file)
        said = sdk.audio.speech.create(
            model="tts-1", voice="alloy", input=WORDS, response_format="wav"
        )
        return {"text": heard.text, "wav": len(said.content)}


async def streamed() -> dict[str, object]:
    async with AsyncOpenAI(**how) as sdk:
        with open(wav, "rb") as file:
            events = await sdk.audio.transcriptions.create(
                model="gpt-transcribe", file=file, stream=True
            )
            text = [event.delta async for event in events if event.type == "transcript.text.delta"]
        async with sdk.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="nova", input=WORDS, response_format="pcm"
        ) as answer:
            pcm = b"".join([piece async for piece in answer.iter_bytes()])
        with open("spoken.pcm", "wb") as file:
            file.write(pcm)
        return {"streamed": "".join(text), "rate": 24_000}


print(json.dumps({**sync(), **asyncio.run(streamed())}))
