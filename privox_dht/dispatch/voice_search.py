"""Every voice on the mesh: those in records, and the complete lists of producers that have more."""

import asyncio
from collections.abc import Sequence

from privox_dht import limits
from privox_dht.dispatch.dial_budget import DialBudget
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.errors import JobError
from privox_dht.records import Record, latest_per_key
from privox_dht.speech_api.client import SpeechClient
from privox_dht.voices import VoiceAnswer, Voices, voices_of


async def find_voices(
    records: Sequence[Record], dispatcher: Dispatcher, client: SpeechClient
) -> Voices:
    """The voices of these producers. At most `limits.VOICES_ASKED` are asked for their complete
    lists, first those whose records are incomplete."""
    latest = sorted(latest_per_key(records), key=lambda record: not record.more)
    dials = DialBudget()

    async def listed(record: Record) -> VoiceAnswer | None:
        """None: the producer gave no list."""
        for _, endpoint in await dispatcher.probe_routes(record, dials):
            try:
                async with asyncio.timeout(limits.VOICES_TIMEOUT):
                    return await client.voices(endpoint)
            except (JobError, TimeoutError):
                continue
        return None

    answers = await asyncio.gather(*map(listed, latest[: limits.VOICES_ASKED]))
    return voices_of(latest, answers)
