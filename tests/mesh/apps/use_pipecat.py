"""Pipecat's services for OpenAI, each in a pipeline. `python use_pipecat.py URL WAV`."""

import asyncio
import json
import sys
import wave

from pipecat.frames.frames import (
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import SleepFrame, run_test

url, wav = sys.argv[1:3]
how = {"base_url": f"{url}/v1", "api_key": "none"}
WORDS = "a b c d e f g h i j"


async def heard() -> str:
    with wave.open(wav, "rb") as file:
        pcm, rate = file.readframes(file.getnframes()), file.getframerate()
    step = rate // 25 * 2
    sound = [InputAudioRawFrame(pcm[at : at + step], rate, 1) for at in range(0, len(pcm), step)]
    begun, ended = VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame()
    frames, _ = await run_test(
        OpenAISTTService(**how),
        frames_to_send=[begun, *sound, ended, SleepFrame(3.0)],
        pipeline_params=PipelineParams(audio_in_sample_rate=rate),
        start_timeout=20.0,
    )
    return " ".join(frame.text for frame in frames if isinstance(frame, TranscriptionFrame))


async def said() -> dict[str, object]:
    frames, _ = await run_test(
        OpenAITTSService(**how),
        frames_to_send=[TTSSpeakFrame(WORDS), SleepFrame(3.0)],
        pipeline_params=PipelineParams(audio_out_sample_rate=24_000),
        start_timeout=20.0,
    )
    sound = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    with open("spoken.pcm", "wb") as file:
        file.write(b"".join(frame.audio for frame in sound))
    return {
        "rate": sound[0].sample_rate,
        "stopped": any(isinstance(f, TTSStoppedFrame) for f in frames),
    }


async def main() -> None:
    print(json.dumps({"text": await heard(), **await said()}))


asyncio.run(main())
