import random
from collections import Counter

import pytest

from privox_dht.dispatch.reputation import Manners
from privox_dht.dispatch.selection import Wish, fits, rank, why_nobody
from privox_dht.records import Record


def record(name: str, **fields) -> Record:
    defaults = {"kind": "stt", "engine": "e", "slots": 2, "idle": 2, "mesh": b"m" * 8}
    return Record(publisher=name.encode().ljust(32), **{**defaults, **fields})


def names(records):
    return [r.publisher.decode().strip() for r in records]


def order(records, wish=None, manners=None, seed=1):
    wish = wish or Wish("stt")
    return names(rank(records, wish, manners or Manners(), 0.0, random.Random(seed)))


GERMAN = record("de", languages=("de",), models=("small",))


@pytest.mark.parametrize(
    ("wish", "fit"),
    [
        (Wish("stt"), True),
        (Wish("tts"), False),
        (Wish("stt", backend="cpu"), True),
        (Wish("stt", backend="gpu"), False),
        (Wish("stt", language="de"), True),
        (Wish("stt", language="de-AT"), True),
        (Wish("stt", language="DE_ch"), True),
        (Wish("stt", language="en"), False),
        (Wish("stt", model="small"), True),
        (Wish("stt", model="e"), True),
        (Wish("stt", model="e:small"), True),
        (Wish("stt", model="other:small"), False),
        (Wish("stt", model="large"), False),
        (Wish("stt", voice="small"), True),
        (Wish("stt", only=(GERMAN.peer_id,)), True),
        (Wish("stt", only=(GERMAN.peer_id[:8],)), True),
        (Wish("stt", only=("aaaaaaaa",)), False),
        (Wish("stt", avoid=(GERMAN.peer_id[:8],)), False),
        (Wish("stt", avoid=("",)), True),
    ],
    ids=str,
)
def test_fits(wish, fit):
    assert fits(GERMAN, wish) is fit


def test_an_engine_that_lists_no_language_does_them_all():
    assert fits(record("any"), Wish("stt", language="sw"))


def test_a_language_has_many_codes():
    chinese = record("zh", languages=("zh", "no"))
    for tag in ("zh", "zh-CN", "zh_TW", "cmn", "nb"):
        assert fits(chinese, Wish("stt", language=tag)), tag
    assert not fits(chinese, Wish("stt", language="yue"))
    assert Wish("stt", language="cmn-CN").searches == ((), ("language=zh",))


def test_openais_names_mean_the_default():
    lists_it = record("api", models=("whisper-1",))
    for name in ("whisper-1", "gpt-4o-transcribe", "whisper-9"):
        assert fits(GERMAN, Wish("stt", model=name)), name
    assert fits(GERMAN, Wish("stt", voice="alloy"))
    assert order([GERMAN, lists_it], Wish("stt", model="whisper-1")) == ["api", "de"]
    assert Wish("stt", model="whisper-1").searches == ((),)


def test_an_engine_for_trying_things_out_does_only_what_names_it():
    echo = record("echo", engine="echo", only_named=True, more=True)
    assert order([echo, GERMAN]) == ["de"]
    assert not fits(echo, Wish("stt", model="whisper-1"))
    assert not fits(echo, Wish("stt", voice="echo"))
    assert not fits(echo, Wish("stt", only=(echo.peer_id,)))
    assert fits(echo, Wish("stt", model="echo"))


def test_a_translation_is_asked_of_those_who_translate():
    whisper = record("whisper", translates=True)
    assert order([GERMAN, whisper], Wish("stt", translate=True)) == ["whisper"]
    assert why_nobody([GERMAN], Wish("stt", translate=True)) == (
        "nobody offers stt, translated into English; without --translate there is:"
        " stt/cpu/e (small) [de]"
    )


def test_a_record_with_more_models_than_it_lists_may_have_the_one_asked_for():
    some = record("some", models=("a",), more=True)
    sure = record("sure", models=("b",))
    assert fits(some, Wish("stt", model="b"))
    assert order([some, sure], Wish("stt", model="b")) == ["sure", "some"]


def test_a_withdrawn_record_is_nobody():
    assert order([record("gone", withdrawn=True)]) == []


def test_the_idle_come_before_the_busy():
    for seed in range(20):
        assert order([record("busy", idle=0, speed=100), record("idle")], seed=seed)[0] == "idle"


def test_a_much_faster_one_comes_first():
    for seed in range(20):
        pair = [record("slow", speed=1), record("fast", speed=10)]
        assert order(pair, seed=seed) == ["fast", "slow"]


def test_nobody_gains_by_claiming_to_be_infinitely_fast():
    pair = [record("honest", speed=150), record("liar", speed=100_000)]
    firsts = Counter(order(pair, seed=seed)[0] for seed in range(200))
    assert firsts["honest"] > 20


def test_equals_are_shared_out():
    firsts = Counter(order([record("a"), record("b"), record("c")], seed=s)[0] for s in range(300))
    assert min(firsts.values()) > 60


def test_the_lost_come_last_and_those_who_said_busy_before_them():
    manners = Manners()
    manners.lost(record("lost").peer_id, 0.0)
    manners.busy(record("busy").peer_id, 0.0, 5.0)
    three = [record("lost"), record("busy"), record("well", speed=0.1)]
    assert order(three, manners=manners) == ["well", "busy", "lost"]


def test_the_preferred_come_first_even_when_busy_but_not_when_lost():
    wish = Wish("stt", prefer=(record("mine").peer_id,))
    pair = [record("fast", speed=100), record("mine", idle=0)]
    assert order(pair, wish)[0] == "mine"
    manners = Manners()
    manners.lost(record("mine").peer_id, 0.0)
    assert order(pair, wish, manners)[0] == "fast"


def test_time_and_chance_are_arguments():
    many = [record(f"p{i}") for i in range(50)]
    assert order(many, seed=7) == order(many, seed=7)
    assert order(many, seed=7) != order(many, seed=8)


def test_searches_go_from_wide_to_narrow():
    assert Wish("stt").searches == ((),)
    wish = Wish("stt", model="faster-whisper:small", language="de-DE")
    assert wish.searches == ((), ("language=de",), ("model=small",))


def test_why_nobody_says_what_there_is():
    assert why_nobody([], Wish("tts")) == "nobody on the mesh offers tts just now"
    said = why_nobody([GERMAN], Wish("stt", language="fr"))
    assert said == (
        "nobody offers stt, language fr; without --language fr there is: stt/cpu/e (small) [de]"
    )


def test_whoever_did_a_job_comes_first_while_others_turn_out_to_be_dead():
    """A hundred invented records, all idle and very fast, beside one that has worked before."""
    good, dead = record("good"), record("dead", speed=200)
    invented = [record(f"i{n}", speed=200) for n in range(9)]
    manners = Manners()
    manners.good(good.peer_id)
    assert order([good, dead, *invented], manners=manners)[0] != "good"
    manners.lost(dead.peer_id, 0.0)
    assert order([good, dead, *invented], manners=manners)[0] == "good"
    manners.lost(good.peer_id, 0.0)
    assert order([good, dead, *invented], manners=manners)[0].startswith("i")


def test_when_it_is_the_clients_own_choice_that_leaves_nobody_that_is_said():
    one = record("a")
    assert why_nobody([one], Wish("stt", only=("zzz",))) == (
        f"--only leaves nobody who offers stt; there is: {one.peer_id}"
    )
    assert why_nobody([one], Wish("stt", avoid=(one.peer_id,))).startswith("--avoid leaves nobody")


@pytest.mark.parametrize(
    ("wish", "flag"),
    [
        (Wish("stt", backend="gpu"), "--backend gpu"),
        (Wish("stt", model="large"), "--model large"),
        (Wish("stt", language="fr"), "--language fr"),
        (Wish("stt", backend="gpu", only=(GERMAN.peer_id,)), "--backend gpu"),
    ],
)
def test_which_flag_to_leave_out_is_said(wish, flag):
    assert f"without {flag} there is: stt/cpu/e (small) [de]" in why_nobody([GERMAN], wish)


def test_where_one_flag_less_would_not_do_what_there_is_is_said_all_the_same():
    said = why_nobody([GERMAN], Wish("stt", backend="gpu", language="fr"))
    assert said == "nobody offers stt/gpu, language fr; there is: stt/cpu/e (small) [de]"
