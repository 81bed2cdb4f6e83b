import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from privox_dht.dispatch.reputation import ReputationTable
from privox_dht.dispatch.selection import (
    Requirements,
    explain_no_match,
    matches,
    rank,
    unmet_demand,
)
from privox_dht.records import Record


def record(name: str, **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "kind": "stt",
        "engine": "e",
        "slots": 2,
        "idle": 2,
        "mesh": b"m" * 8,
    }
    return Record(publisher=name.encode().ljust(32), **{**defaults, **fields})


def names(records: Iterable[Record]) -> list[str]:
    return [r.publisher.decode().strip() for r in records]


def order(
    records: Sequence[Record], needs: Requirements | None = None,
    reputation: ReputationTable | None = None, seed: int = 1,
) -> list[str]:  # fmt: skip
    needs = needs or Requirements("stt")
    return names(rank(records, needs, reputation or ReputationTable(), 0.0, random.Random(seed)))


GERMAN = record("de", languages=("de",), models=("small",))


@pytest.mark.parametrize(
    ("needs", "fit"),
    [
        (Requirements("stt"), True),
        (Requirements("tts"), False),
        (Requirements("stt", backend="cpu"), True),
        (Requirements("stt", backend="gpu"), False),
        (Requirements("stt", language="de"), True),
        (Requirements("stt", language="de-AT"), True),
        (Requirements("stt", language="DE_ch"), True),
        (Requirements("stt", language="en"), False),
        (Requirements("stt", model="small"), True),
        (Requirements("stt", model="e"), True),
        (Requirements("stt", model="e:small"), True),
        (Requirements("stt", model="other:small"), False),
        (Requirements("stt", model="large"), False),
        (Requirements("stt", voice="small"), True),
        (Requirements("stt", only=(GERMAN.peer_id,)), True),
        (Requirements("stt", only=(GERMAN.peer_id[:8],)), True),
        (Requirements("stt", only=("aaaaaaaa",)), False),
        (Requirements("stt", avoid=(GERMAN.peer_id[:8],)), False),
        (Requirements("stt", avoid=("",)), True),
    ],
    ids=str,
)
def test_fits(needs: Requirements, fit: bool) -> None:
    assert matches(GERMAN, needs) is fit


def test_an_engine_that_lists_no_language_does_them_all() -> None:
    assert matches(record("any"), Requirements("stt", language="sw"))


def test_a_language_has_many_codes() -> None:
    chinese = record("zh", languages=("zh", "no"))
    for tag in ("zh", "zh-CN", "zh_TW", "cmn", "nb"):
        assert matches(chinese, Requirements("stt", language=tag)), tag
    assert not matches(chinese, Requirements("stt", language="yue"))
    assert Requirements("stt", language="cmn-CN").searches == ((), ("language=zh",))


def test_openais_names_mean_the_default() -> None:
    lists_it = record("api", models=("whisper-1",))
    for name in ("whisper-1", "gpt-4o-transcribe", "whisper-9"):
        assert matches(GERMAN, Requirements("stt", model=name)), name
    assert matches(GERMAN, Requirements("stt", voice="alloy"))
    assert order([GERMAN, lists_it], Requirements("stt", model="whisper-1")) == ["api", "de"]
    assert Requirements("stt", model="whisper-1").searches == ((),)


def test_an_engine_for_trying_things_out_does_only_what_names_it() -> None:
    echo = record("echo", engine="echo", only_named=True, more=True)
    assert order([echo, GERMAN]) == ["de"]
    assert not matches(echo, Requirements("stt", model="whisper-1"))
    assert not matches(echo, Requirements("stt", voice="echo"))
    assert not matches(echo, Requirements("stt", only=(echo.peer_id,)))
    assert matches(echo, Requirements("stt", model="echo"))


def test_a_translation_is_asked_of_those_who_translate() -> None:
    whisper = record("whisper", translates=True)
    assert order([GERMAN, whisper], Requirements("stt", translate=True)) == ["whisper"]
    assert explain_no_match([GERMAN], Requirements("stt", translate=True)) == (
        "no producer offers stt, translated into English; without --translate there is:"
        " stt/cpu/e (small) [de]"
    )


def test_a_record_with_more_models_than_it_lists_may_have_the_one_asked_for() -> None:
    some = record("some", models=("a",), more=True)
    sure = record("sure", models=("b",))
    assert matches(some, Requirements("stt", model="b"))
    assert order([some, sure], Requirements("stt", model="b")) == ["sure", "some"]


def test_a_withdrawn_record_is_nobody() -> None:
    assert order([record("gone", withdrawn=True)]) == []


def test_the_idle_come_before_the_busy() -> None:
    for seed in range(20):
        assert order([record("busy", idle=0, speed=100), record("idle")], seed=seed)[0] == "idle"


def test_a_much_faster_one_comes_first() -> None:
    for seed in range(20):
        pair = [record("slow", speed=1), record("fast", speed=10)]
        assert order(pair, seed=seed) == ["fast", "slow"]


def test_nobody_gains_by_claiming_to_be_infinitely_fast() -> None:
    pair = [record("honest", speed=150), record("liar", speed=100_000)]
    firsts = Counter(order(pair, seed=seed)[0] for seed in range(200))
    assert firsts["honest"] > 20


def test_equals_are_shared_out() -> None:
    firsts = Counter(order([record("a"), record("b"), record("c")], seed=s)[0] for s in range(300))
    assert min(firsts.values()) > 60


def test_the_lost_come_last_and_those_who_said_busy_before_them() -> None:
    reputation = ReputationTable()
    reputation.record_failure(record("lost").peer_id, 0.0)
    reputation.record_busy(record("busy").peer_id, 0.0, 5.0)
    three = [record("lost"), record("busy"), record("well", speed=0.1)]
    assert order(three, reputation=reputation) == ["well", "busy", "lost"]


def test_the_preferred_come_first_even_when_busy_but_not_when_lost() -> None:
    needs = Requirements("stt", prefer=(record("mine").peer_id,))
    pair = [record("fast", speed=100), record("mine", idle=0)]
    assert order(pair, needs)[0] == "mine"
    reputation = ReputationTable()
    reputation.record_failure(record("mine").peer_id, 0.0)
    assert order(pair, needs, reputation)[0] == "fast"


def test_time_and_chance_are_arguments() -> None:
    many = [record(f"p{i}") for i in range(50)]
    assert order(many, seed=7) == order(many, seed=7)
    assert order(many, seed=7) != order(many, seed=8)


def test_searches_go_from_wide_to_narrow() -> None:
    assert Requirements("stt").searches == ((),)
    needs = Requirements("stt", model="faster-whisper:small", language="de-DE")
    assert needs.searches == ((), ("language=de",), ("model=small",))


def test_why_nobody_says_what_there_is() -> None:
    assert explain_no_match([], Requirements("tts")) == "no producer on the mesh offers tts now"
    said = explain_no_match([GERMAN], Requirements("stt", language="fr"))
    assert said == (
        "no producer offers stt, language fr; without --language fr there is: stt/cpu/e (small)"
        " [de]"
    )


def test_whoever_did_a_job_comes_first_while_others_turn_out_to_be_dead() -> None:
    """A hundred invented records, all idle and very fast, beside one that has worked before."""
    good, dead = record("good"), record("dead", speed=200)
    invented = [record(f"i{n}", speed=200) for n in range(9)]
    reputation = ReputationTable()
    reputation.record_success(good.peer_id)
    assert order([good, dead, *invented], reputation=reputation)[0] != "good"
    reputation.record_failure(dead.peer_id, 0.0)
    assert order([good, dead, *invented], reputation=reputation)[0] == "good"
    reputation.record_failure(good.peer_id, 0.0)
    assert order([good, dead, *invented], reputation=reputation)[0].startswith("i")


def test_when_it_is_the_clients_own_choice_that_leaves_nobody_that_is_said() -> None:
    one = record("a")
    assert explain_no_match([one], Requirements("stt", only=("zzz",))) == (
        f"--only leaves no producer that offers stt; there is: {one.peer_id}"
    )
    assert explain_no_match([one], Requirements("stt", avoid=(one.peer_id,))).startswith(
        "--avoid leaves no producer"
    )


@pytest.mark.parametrize(
    ("needs", "flag"),
    [
        (Requirements("stt", backend="gpu"), "--backend gpu"),
        (Requirements("stt", model="large"), "--model large"),
        (Requirements("stt", language="fr"), "--language fr"),
        (Requirements("stt", backend="gpu", only=(GERMAN.peer_id,)), "--backend gpu"),
    ],
)
def test_which_flag_to_leave_out_is_said(needs: Requirements, flag: str) -> None:
    assert f"without {flag} there is: stt/cpu/e (small) [de]" in explain_no_match([GERMAN], needs)


def test_where_one_flag_less_would_not_do_what_there_is_is_said_all_the_same() -> None:
    said = explain_no_match([GERMAN], Requirements("stt", backend="gpu", language="fr"))
    assert said == "no producer offers stt/gpu, language fr; there is: stt/cpu/e (small) [de]"


def test_where_all_that_is_there_wants_to_be_named_how_to_name_it_is_said() -> None:
    echo = record("echo", engine="echo", models=(), languages=(), only_named=True)
    assert explain_no_match([echo], Requirements("stt")) == (
        "for stt there is only stt/cpu/echo, which does only jobs that name it: say --model echo"
        ' (from Python and over HTTP: model="echo")'
    )
    assert "--model echo" not in explain_no_match([echo, GERMAN], Requirements("stt", model="x"))


@pytest.mark.parametrize(
    ("needs", "unmet"),
    [
        (Requirements("stt", model="large"), "model"),
        (Requirements("stt", voice="amy"), "voice"),
        (Requirements("stt", language="fr"), "language"),
        (Requirements("stt", translate=True), "translation"),
        (Requirements("stt", model="small", language="fr"), "language"),
        (Requirements("stt", model="large", language="fr"), "model"),
        (Requirements("stt", backend="gpu"), ""),
        (Requirements("stt", backend="gpu", model="large"), ""),
        (Requirements("tts", model="large"), ""),
        (Requirements("stt", model="large", only=("zzz",)), ""),
    ],
)
def test_what_was_named_that_nobody_has_is_known(needs: Requirements, unmet: str) -> None:
    assert unmet_demand([GERMAN], needs) == unmet
    assert unmet_demand([], needs) == ""


def test_who_wants_to_be_named_is_missing_a_model() -> None:
    echo = record("echo", engine="echo", only_named=True)
    assert unmet_demand([echo], Requirements("stt")) == "model"
    assert unmet_demand([echo], Requirements("stt", model="large")) == "model"
    assert unmet_demand([echo, GERMAN], Requirements("stt", language="fr")) == "language"
