"""Home Assistant's own Wyoming integration: set up by its config flow, then it hears and speaks.

python use_home_assistant.py HOST:PORT WAV     prints one JSON object for each line of stdin
    set up      what the config flow said
    hear        what its speech-to-text entity heard in WAV
    speak       the sound that its text-to-speech entity made, in spoken.wav
"""

import asyncio
import json
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from pathlib import Path

from homeassistant import auth, bootstrap, config_entries, loader
from homeassistant.components import stt, tts
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component

address, wav = sys.argv[1:3]
host, port = address.rsplit(":", 1)
WORDS = "a b c d e f g h i j"


async def sound() -> AsyncIterator[bytes]:
    with wave.open(wav, "rb") as file:
        while block := file.readframes(1024):
            yield block


async def set_up(hass: HomeAssistant) -> dict[str, object]:
    for part in ("homeassistant", "wyoming"):
        assert await async_setup_component(hass, part, {}), part
    flow = await hass.config_entries.flow.async_init(
        "wyoming",
        context={"source": config_entries.SOURCE_USER},
        data={"host": host, "port": int(port)},
    )
    await hass.async_block_till_done()
    entries = hass.config_entries.async_entries("wyoming")
    return {
        "type": str(flow["type"]),
        "title": flow.get("title"),
        "states": [entry.state.value for entry in entries],
        "entities": sorted(hass.states.async_entity_ids(("stt", "tts"))),
    }


async def hear(hass: HomeAssistant) -> dict[str, object]:
    entity = stt.async_get_speech_to_text_entity(hass, hass.states.async_entity_ids("stt")[0])
    assert entity is not None
    asked = stt.SpeechMetadata(
        "en", stt.AudioFormats.WAV, stt.AudioCodecs.PCM, stt.AudioBitRates.BITRATE_16,
        stt.AudioSampleRates.SAMPLERATE_16000, stt.AudioChannels.CHANNEL_MONO,
    )  # fmt: skip
    assert entity.check_metadata(asked)
    heard = await entity.internal_async_process_audio_stream(asked, sound())
    return {"text": heard.text, "result": heard.result.value}


async def speak(hass: HomeAssistant) -> dict[str, object]:
    source = tts.generate_media_source_id(
        hass, WORDS, engine=hass.states.async_entity_ids("tts")[0], language="en", cache=False
    )
    kind, data = await tts.async_get_media_source_audio(hass, source)
    Path(f"spoken.{kind}").write_bytes(data)
    return {"kind": kind}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        hass.config.skip_pip = True  # what it needs is installed
        loader.async_setup(hass)
        hass.config_entries = config_entries.ConfigEntries(hass, {})
        await bootstrap.async_load_base_functionality(hass)
        hass.auth = await auth.auth_manager_from_config(hass, [], [])
        while line := await asyncio.to_thread(sys.stdin.readline):
            work = {"set up": set_up, "hear": hear, "speak": speak}[line.strip()]
            print(json.dumps(await work(hass)), flush=True)
        await hass.async_stop(force=True)


asyncio.run(main())
