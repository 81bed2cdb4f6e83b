"""Lists of voices, as strangers send them."""

import pytest

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.speech_api.openai_responses import voices_in


def test_voices_come_with_their_engine_and_language_where_these_are_said() -> None:
    data = [{"id": "de", "engine": "espeak-ng", "language": "de"}, {"id": "amy"}, {"id": ""}]
    assert voices_in({"data": data}) == [("de", "espeak-ng", "de"), ("amy", "", "")]
    assert voices_in({"voices": ["de", "en"]}) == [("de", "", ""), ("en", "", "")]
    assert voices_in({}) == []


@pytest.mark.parametrize(
    "answer",
    [[], "de", {"data": "de"}, {"data": [7]}, {"data": [["de"]]},
     {"voices": ["x"] * (limits.MAX_VOICES + 1)}],
)  # fmt: skip
def test_what_is_no_list_of_voices_is_a_bad_message(answer: object) -> None:
    with pytest.raises(BadMessage):
        voices_in(answer)


def test_a_voice_that_is_no_name_is_left_out_or_cut() -> None:
    listed = voices_in({"data": [{"id": 7}, {"id": "x" * 10_000, "engine": {}}]})
    assert all(len(voice) <= 1000 and isinstance(engine, str) for voice, engine, _ in listed)
