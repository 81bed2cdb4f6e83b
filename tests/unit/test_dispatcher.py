"""The caller's decisions, with a directory and producers that are plain functions. The same over
real processes stands in tests/mesh."""

import asyncio
import random
import time
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import pytest

from privox_dht import limits
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import last_of
from privox_dht.dispatch.job_events import Emit, JobEvent, Waiting
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Attempt
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.sibling_slots import SiblingSlots
from privox_dht.dispatch.work import TranscriptionWork
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    EngineFailed,
    NoParkedLine,
    NoProducer,
    PeerKeyMismatch,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.records import FARM, Direct, Record, Relayed, Route
from privox_dht.speech_api.client import Endpoint, SpeechClient

STT = Requirements("stt")
FARM_KEY = b"f" * 32


def producer(name: str, *routes: Route, **fields: Any) -> Record:
    network = int(name[1:]) if name[1:].isdigit() else 2
    where = routes or (Direct(f"192.0.{network}.{ord(name[0])}", 5678),)
    defaults: dict[str, Any] = {
        "kind": "stt",
        "engine": "e",
        "slots": 1,
        "idle": 1,
        "mesh": b"m" * 8,
    }
    return Record(publisher=name.encode().ljust(32), routes=where, **{**defaults, **fields})


LAST_IS_SLOW = (producer("a", speed=100), producer("b", speed=100), producer("c"))


class Records:
    """A directory that is a list."""

    def __init__(self, *records: Record) -> None:
        self.records = records
        self.looked: list[tuple[str, ...]] = []

    async def find(
        self, kind: str, backend: str = "", *narrower: str, want: int = 32, fresh: bool = False
    ) -> list[Record]:
        self.looked.append((kind, backend, *narrower))
        return [r for r in self.records if r.kind == kind and r.backend == backend]

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        farms = [r for r in self.records if r.kind == FARM and r.publisher == public]
        return farms[0] if farms else None


class Producers:
    """Work that ends as each producer's script says; the last line of a script repeats."""

    def __init__(self, **scripts: Any) -> None:
        self.scripts = scripts
        self.asked: list[str] = []
        self.endpoints: list[Endpoint] = []

    async def __call__(self, endpoint: Endpoint, record: Record, emit: Emit) -> Any:
        name = record.publisher.decode().strip()
        self.asked.append(name)
        self.endpoints.append(endpoint)
        script = self.scripts[name]
        outcome = script.pop(0) if isinstance(script, list) and len(script) > 1 else script
        outcome = outcome[0] if isinstance(outcome, list) else outcome
        if isinstance(outcome, Exception):
            raise outcome
        if callable(outcome):
            return await outcome()
        return outcome


def outcome_of(attempt: object) -> str:
    assert isinstance(attempt, Attempt)
    return attempt.outcome


def told_to(waits: list[float]) -> Callable[[JobEvent[Any]], None]:
    """Puts the seconds of waiting that are left into a list."""

    def show(event: JobEvent[Any]) -> None:
        if isinstance(event, Waiting):
            waits.append(event.seconds)

    return show


def caller(*records: Record, allow: Callable[[str], bool] = lambda host: True) -> Dispatcher:
    return Dispatcher(Records(*records), allow=allow, rng=random.Random(1))


async def test_a_job_is_done_by_the_producer_that_was_found() -> None:
    a = producer("a")
    work = Producers(a="text")
    done = await last_of(caller(a).dispatch(STT, work))
    assert (done.value, done.record, done.route) == ("text", a, "direct 192.0.2.97:5678")
    assert work.endpoints[0].base == "https://192.0.2.97:5678"
    assert work.endpoints[0].key == a.publisher


async def test_nobody_is_looked_for_before_those_who_are_known_were_asked() -> None:
    directory = Records(producer("a"), producer("b"))
    call = Dispatcher(directory, allow=lambda host: True, rng=random.Random(1))
    work = Producers(a="text", b="text")
    await last_of(call.dispatch(STT, work, known=[producer("b")]))
    assert work.asked == ["b"]
    assert directory.looked == []
    lost = Producers(a="text", b=ProducerLost("gone", begun=False))
    await last_of(call.dispatch(STT, lost, known=[producer("b")]))
    assert lost.asked[-1] == "a"
    assert directory.looked


async def test_busy_costs_one_question_and_is_not_held_against_anybody() -> None:
    work = Producers(a=ProducerBusy(), b="text")
    call = caller(producer("a", speed=100), producer("b"))
    done = await last_of(call.dispatch(STT, work))
    assert work.asked == ["a", "b"]
    assert not call.reputation.is_backed_off(producer("a").peer_id, 0)
    assert [a.outcome for a in done.attempts] == ["busy", "done"]


async def test_a_lost_producer_is_left_alone_and_the_next_one_does_the_job() -> None:
    call = caller(producer("a", speed=100), producer("b"))
    done = await last_of(
        call.dispatch(STT, Producers(a=ProducerLost("gone", begun=True), b="text"))
    )
    assert done.record and done.record.publisher.startswith(b"b")
    work = Producers(a="text", b="text")
    await last_of(call.dispatch(STT, work))
    assert work.asked == ["b"]


async def test_a_job_during_which_producers_of_three_networks_died_is_not_given_to_a_fourth() -> (
    None
):
    deadly = ProducerLost("died", begun=True)
    work = Producers(a=deadly, b=deadly, c=deadly, d="text")
    records = [producer(name, speed=100) for name in "abc"]
    with pytest.raises(AllProducersFailed, match="3 producers were lost during this job") as caught:
        await last_of(caller(*records, producer("d", idle=0)).dispatch(STT, work))
    assert len(work.asked) == 3
    assert [outcome_of(a) for a in caught.value.attempts] == ["lost"] * 3


async def test_deaths_in_one_network_are_one_voice_however_many_keys_it_has() -> None:
    """A household makes keys at will: its producers take jobs and die, as often as they like."""
    household = [producer(f"{n}", Direct("20.1.1.1", 5000 + n), speed=100) for n in range(8)]
    work = Producers(**{f"{n}": ProducerLost("died", begun=True) for n in range(8)}, a="text")
    done = await last_of(caller(*household, producer("a", speed=1)).dispatch(STT, work))
    assert done.value == "text"
    assert work.asked[1:] == ["a"], "after the first death the others of its network come last"


async def test_those_that_never_took_the_job_do_not_count_as_deaths() -> None:
    dead = ProducerLost("connection refused")
    work = Producers(a=dead, b=dead, c=dead, d="text")
    done = await last_of(caller(*map(producer, "abcd")).dispatch(STT, work))
    assert done.value == "text"


async def test_at_most_five_producers_are_tried() -> None:
    work = Producers(**dict.fromkeys("abcdefgh", EngineFailed("broke")))
    with pytest.raises(AllProducersFailed, match="5 producers failed"):
        await last_of(caller(*map(producer, "abcdefgh")).dispatch(STT, work))
    assert len(work.asked) == 5


async def test_a_refusal_is_believed_when_producers_of_three_networks_agree() -> None:
    bad = RequestRejected("not audio", status=400)
    work = Producers(a=bad, b=bad, c=bad, d="text")
    records = [producer(name, speed=100) for name in "abc"]
    with pytest.raises(RequestRejected, match=r'^producer \w{8} says: "not audio"$') as caught:
        await last_of(caller(*records, producer("d", idle=0)).dispatch(STT, work))
    assert len(work.asked) == 3
    assert caught.value.status == 400


async def test_refusals_of_one_household_end_no_job() -> None:
    """Two hostile producers that answered 400 ended 5 of 5 jobs, with words of their own."""
    lie = RequestRejected("pay at evil.example " * 50)
    household = [producer(f"{n}", Direct("20.1.1.1", 5000 + n), speed=100) for n in range(9)]
    work = Producers(**{f"{n}": lie for n in range(9)}, a="text")
    done = await last_of(caller(*household, producer("a", speed=1)).dispatch(STT, work))
    assert work.asked[1:] == ["a"]
    assert len(done.attempts[0].why) < 220, "its words are cut"
    assert done.attempts[0].why.startswith('"pay')


async def test_strangers_who_refuse_are_not_believed_while_somebody_proven_is_left() -> None:
    call = caller(*(producer(name) for name in "abcd"))
    await last_of(
        call.dispatch(Requirements("stt", only=(producer("d").peer_id,)), Producers(d="text"))
    )
    call.reputation._histories[producer("d").peer_id].backed_off_until = float(
        "inf"
    )  # asked last of all
    bad = RequestRejected("no")
    work = Producers(a=bad, b=bad, c=bad, d="text")
    assert (await last_of(call.dispatch(STT, work))).value == "text"
    assert len(work.asked) == 4


async def test_a_refusal_by_a_producer_that_did_a_job_is_believed_at_once() -> None:
    call = caller(producer("a", speed=100), producer("b"))
    work = Producers(a=["text", RequestRejected("not audio")], b="text")
    await last_of(call.dispatch(STT, work))
    with pytest.raises(RequestRejected, match="not audio"):
        await last_of(call.dispatch(STT, work))
    assert work.asked == ["a", "a"]


async def test_who_refused_or_failed_is_asked_after_the_others_the_next_time() -> None:
    call = caller(producer("a", speed=100), producer("b"))
    work = Producers(a=[EngineFailed("broke"), "text"], b="text")
    await last_of(call.dispatch(STT, work))
    await last_of(call.dispatch(STT, work))
    assert work.asked == ["a", "b", "b"]


async def test_an_address_that_many_records_name_is_dialled_once_and_for_whoever_is_there() -> None:
    """One job made 192 connections to one address that records named."""
    home = Direct("20.5.5.5", 5678)
    liars = [producer(f"{n}", home, speed=100) for n in range(30)]
    true = producer("t", home, speed=1)
    work = Producers(**{f"{n}": PeerKeyMismatch("no", true.publisher) for n in range(30)}, t="text")
    done = await last_of(caller(*liars, true).dispatch(STT, work))
    assert done.record == true
    assert len(work.asked) == 2


async def test_an_address_where_nobody_answers_is_dialled_twice_at_most() -> None:
    home = Direct("20.5.5.5", 5678)
    work = Producers(**{f"{n}": ProducerLost("no connection") for n in range(30)})
    with pytest.raises(AllProducersFailed):
        await last_of(caller(*(producer(f"{n}", home) for n in range(30))).dispatch(STT, work))
    assert len(work.asked) <= 2


async def test_ports_of_other_services_are_dialled_only_for_a_producer_that_was_named() -> None:
    mail = producer("m", Direct("20.5.5.5", 25))
    with pytest.raises(AllProducersFailed, match="no route that may be dialled"):
        await last_of(caller(mail).dispatch(STT, Producers(m="text")))
    web = producer("w", Direct("20.5.5.5", 443))
    assert (await last_of(caller(web).dispatch(STT, Producers(w="text")))).value == "text"
    named = Requirements("stt", only=(mail.peer_id,))
    assert (await last_of(caller(mail).dispatch(named, Producers(m="text")))).value == "text"


async def test_one_producers_refusal_is_not_believed_when_another_does_the_job() -> None:
    call = caller(producer("a", speed=100), producer("b"))
    done = await last_of(call.dispatch(STT, Producers(a=RequestRejected("I am odd"), b="text")))
    assert done.value == "text"


async def test_a_refusal_is_believed_when_nobody_else_can_be_asked() -> None:
    with pytest.raises(RequestRejected, match="not audio"):
        await last_of(
            caller(producer("a")).dispatch(STT, Producers(a=RequestRejected("not audio")))
        )


async def test_nobody_there_is_said_at_once() -> None:
    with pytest.raises(NoProducer, match="no producer on the mesh offers stt"):
        await last_of(caller().dispatch(STT, Producers()))


async def test_nobody_who_fits_is_said_with_what_there_is() -> None:
    directory = Records(producer("a", languages=("de",)))
    call = Dispatcher(directory, allow=lambda host: True)
    with pytest.raises(NoProducer, match=r"there is: stt/cpu/e \[de\]"):
        await last_of(call.dispatch(Requirements("stt", language="fr"), Producers()))
    assert ("stt", "cpu", "language=fr") in directory.looked


async def test_who_offers_it_on_the_other_backend_is_said_with_the_flag_to_leave_out() -> None:
    call = Dispatcher(Records(producer("a")), allow=lambda host: True)
    with pytest.raises(
        NoProducer, match="no producer offers stt/gpu; without --backend gpu there is:"
    ):
        await last_of(call.dispatch(Requirements("stt", backend="gpu"), Producers()))


async def test_with_everybody_busy_it_waits_and_succeeds_when_one_is_free() -> None:
    waited: list[float] = []
    work = Producers(a=[ProducerBusy(retry_after=0.01), ProducerBusy(retry_after=0.01), "text"])
    done = await last_of(caller(producer("a")).dispatch(STT, work, wait=30), told_to(waited))
    assert done.value == "text"
    assert [a.outcome for a in done.attempts] == ["busy", "done"]
    assert len(waited) == 2
    assert 0 < waited[1] < waited[0] <= 30


async def test_everybody_busy_until_the_wait_ends() -> None:
    work = Producers(a=ProducerBusy(retry_after=0.01), b=ProducerBusy(retry_after=0.01))
    with pytest.raises(AllProducersBusy, match="all 2 producers of stt were busy") as caught:
        await last_of(caller(producer("a"), producer("b")).dispatch(STT, work, wait=0.3))
    assert {outcome_of(a) for a in caught.value.attempts} == {"busy"}


async def test_the_whole_job_has_a_deadline_and_says_what_was_tried() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    work = Producers(a=EngineFailed("broke"), b=never)
    call = caller(producer("a", speed=100), producer("b"))
    with pytest.raises(AllProducersFailed, match=r'not done within 0.05 s: .* failed \("broke"\)'):
        await last_of(call.dispatch(STT, work, timeout=0.05))


@pytest.mark.parametrize(
    ("records", "answer", "said"),
    [
        ((), None, "no producer was found"),
        (("a",), "never", r"\w{8} direct .*: cancelled \(it had worked on it for 0\.. s\)"),
        (("a", "b"), ProducerBusy(retry_after=0.01), "all 2 producers that were asked were busy"),
    ],
)
async def test_at_the_deadline_what_it_was_about_is_said(
    records: tuple[str, ...], answer: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    call = caller(*map(producer, records))
    if not records:
        monkeypatch.setattr("privox_dht.dispatch.dispatcher.discover", lambda *a, **how: never())
    work = Producers(**dict.fromkeys(records, never if answer == "never" else answer))
    with pytest.raises(AllProducersFailed, match=f"not done within 0.1 s: {said}"):
        await last_of(call.dispatch(STT, work, timeout=0.1))


async def test_addresses_that_may_not_be_dialled_are_not() -> None:
    aimed = producer("a", Direct("127.0.0.1", 22), Direct("10.0.0.1", 80))
    work = Producers(a="text")
    with pytest.raises(AllProducersFailed, match="no route that may be dialled"):
        await last_of(
            caller(aimed, allow=lambda host: not host.startswith(("127.", "10."))).dispatch(
                STT, work
            )
        )
    assert work.asked == []


def farm(*doors: Route) -> Record:
    return Record(publisher=FARM_KEY, mesh=b"m" * 8, kind=FARM, routes=doors, engine="")


async def test_a_relayed_route_goes_through_the_address_in_the_farms_own_record() -> None:
    behind = producer("a", Relayed(FARM_KEY))
    work = Producers(a="text")
    door = farm(Direct("192.0.2.200", 1776))
    done = await last_of(caller(behind, door).dispatch(STT, work))
    assert work.endpoints[0].base == f"https://{behind.peer_id}.privox"
    assert work.endpoints[0].proxy == "http://192.0.2.200:1776"
    assert done.route == "relayed by 192.0.2.200:1776"


async def test_a_direct_route_that_is_dead_is_followed_by_the_relayed_one() -> None:
    both = producer("a", Direct("192.0.2.1", 5678), Relayed(FARM_KEY))
    work = Producers(a=[ProducerLost("refused"), "text"])
    done = await last_of(caller(both, farm(Direct("192.0.2.200", 1776))).dispatch(STT, work))
    assert done.route == "relayed by 192.0.2.200:1776"


async def test_no_line_at_one_farm_means_the_next_farm_not_a_busy_producer() -> None:
    two = producer("a", Relayed(FARM_KEY), Relayed(b"g" * 32))
    other = Record(publisher=b"g" * 32, mesh=b"m" * 8, kind=FARM,
                   routes=(Direct("192.0.2.201", 1776),))  # fmt: skip
    work = Producers(a=[NoParkedLine("none parked"), "text"])
    done = await last_of(
        caller(two, farm(Direct("192.0.2.200", 1776)), other).dispatch(STT, work, wait=0)
    )
    assert done.route == "relayed by 192.0.2.201:1776"


async def test_the_farm_by_which_a_job_was_lost_is_tried_last_when_the_producer_is_free_again() -> (
    None
):
    """The broken job may hold the only slot when the next farm asks for it."""
    two = producer("a", Relayed(FARM_KEY), Relayed(b"g" * 32))
    other = Record(publisher=b"g" * 32, mesh=b"m" * 8, kind=FARM,
                   routes=(Direct("192.0.2.201", 1776),))  # fmt: skip
    work = Producers(a=[ProducerLost("cut", begun=True), ProducerBusy(retry_after=0.0), "text"])
    done = await last_of(caller(two, farm(Direct("192.0.2.200", 1776)), other).dispatch(STT, work))
    assert [(a.route[-16:], a.outcome) for a in done.attempts] == [
        ("192.0.2.200:1776", "lost"), ("192.0.2.201:1776", "busy"), ("192.0.2.201:1776", "done"),
    ]  # fmt: skip


async def test_via_farm_never_dials_directly() -> None:
    both = producer("a", Direct("192.0.2.1", 5678), Relayed(FARM_KEY))
    work = Producers(a="text")
    call = caller(both, farm(Direct("192.0.2.200", 1776)))
    done = await last_of(call.dispatch(Requirements("stt", via_farm=True), work))
    assert done.route.startswith("relayed")


async def test_whoever_answers_with_another_key_is_left_alone() -> None:
    call = caller(producer("a", speed=100), producer("b"))
    done = await last_of(call.dispatch(STT, Producers(a=PeerKeyMismatch("another key"), b="text")))
    assert [a.outcome for a in done.attempts] == ["lost", "done"]


DEAD = ProducerLost("no connection")


def probing(*records: Record, alive: Container[str], **more: Any) -> tuple[Dispatcher, list[str]]:
    """A caller whose probes are answered by the producers of these names only."""
    probes: list[str] = []

    async def probe(endpoint: Endpoint) -> None:
        assert endpoint.key
        name = endpoint.key.decode().strip()
        probes.append(name)
        if name not in alive:
            raise DEAD

    call = Dispatcher(
        Records(*records), allow=lambda host: True, probe=probe, rng=random.Random(1), **more
    )
    return call, probes


async def test_dead_routes_are_not_dead_producers() -> None:
    """Two producers with three dead routes each used to be all five that a job may try."""
    routes = [Direct(f"192.0.2.{n}", 5678) for n in range(3)]
    work = Producers(a=DEAD, b=DEAD, c="text")
    records = (producer("a", *routes, speed=99), producer("b", *routes, speed=99), producer("c"))
    assert (await last_of(caller(*records).dispatch(STT, work))).value == "text"


async def test_after_one_dead_producer_nobody_else_is_dialled_in_vain() -> None:
    dead = {f"d{n}": DEAD for n in range(12)}
    records = [producer(name, speed=100) for name in dead]
    call, probes = probing(*records, producer("good"), alive={"good"})
    work = Producers(**dead, good="text")
    done = await last_of(call.dispatch(STT, work))
    assert done.value == "text"
    assert len(work.asked) == 2
    assert len(probes) == 12
    assert call.reputation.is_backed_off(records[0].peer_id, 0)


async def test_strangers_cannot_make_a_caller_probe_for_ever() -> None:
    dead = {f"d{n}": DEAD for n in range(200)}
    call, probes = probing(*map(producer, dead), alive=())
    with pytest.raises(
        AllProducersFailed, match=r"producers could not be reached: .*; and \d+ more"
    ):
        await last_of(call.dispatch(STT, Producers(**dead)))
    assert len(probes) <= 48


async def test_whoever_answers_a_probe_and_then_not_the_job_is_one_of_five() -> None:
    liars = {f"d{n}": DEAD for n in range(20)}
    call, _ = probing(*map(producer, liars), alive=liars)
    work = Producers(**liars)
    with pytest.raises(AllProducersFailed, match="5 producers failed"):
        await last_of(call.dispatch(STT, work))
    assert len(work.asked) == 6  # the first was never reached, for all that is known


SLOW = ProducerLost("no connection yet", timed_out=True)


@pytest.mark.parametrize("quicker", ["a", "b"])
async def test_a_stranger_that_is_slow_is_probed_beside_the_others(quicker: str) -> None:
    call, probes = probing(producer("a", speed=100), producer("b"), alive={quicker})
    work = Producers(a=[SLOW, "text"], b="text")
    done = await last_of(call.dispatch(STT, work))
    assert work.asked == ["a", quicker] and sorted(probes) == ["a", "b"]
    assert done.record and done.record.publisher.decode().strip() == quicker
    within = [endpoint.connect_within for endpoint in work.endpoints]
    assert within == [limits.FIRST_DIAL, limits.CONNECT_TIMEOUT]
    assert call.reputation.is_backed_off(producer("a").peer_id, time.monotonic()) == (
        quicker == "b"
    )


async def test_who_did_a_job_for_us_and_who_is_the_last_are_given_all_their_time() -> None:
    call, _ = probing(producer("a", speed=100), producer("b"), alive=set())
    work = Producers(a=["text", "text"], b="text")
    for _ in range(2):
        await last_of(call.dispatch(STT, work))
    alone, _ = probing(producer("a"), alive=set())
    await last_of(alone.dispatch(STT, work))
    within = [endpoint.connect_within for endpoint in work.endpoints]
    assert within == [limits.FIRST_DIAL, limits.CONNECT_TIMEOUT, limits.CONNECT_TIMEOUT]


async def test_the_many_ports_of_one_network_do_not_use_up_the_probes() -> None:
    many = [producer(f"d{n}", Direct("192.0.9.1", 2000 + n), speed=190) for n in range(40)]
    call, probes = probing(*many, producer("z", Direct("192.0.8.1", 2000)), alive={"z"})
    work = Producers(**{f"d{n}": SLOW for n in range(40)}, z="text")
    assert (await last_of(call.dispatch(STT, work))).value == "text"
    assert work.asked[-1] == "z" and len(work.asked) == 2 and len(probes) == limits.PROBES_AT_ONCE


async def test_the_routes_of_one_producer_are_probed_together() -> None:
    """Four dead routes one after the other would be twelve seconds."""
    inside = []

    async def probe(endpoint: Endpoint) -> None:
        inside.append(endpoint.base)
        if len(inside) < 3:
            await asyncio.Event().wait()

    routes = [Direct(f"192.0.2.{n}", 5678) for n in range(4)]
    one = Dispatcher(Records(producer("a", *routes)), allow=lambda host: True, probe=probe)
    work = Producers(a=[DEAD, "text"])
    done = await last_of(one.dispatch(STT, work))
    assert done.route == "direct 192.0.2.3:5678"
    assert len(inside) == 3


async def test_when_all_that_were_found_failed_the_mesh_is_asked_for_more() -> None:
    class Wide(Records):
        async def find(
            self, kind: str, backend: str = "", *narrower: str, want: int = 32, fresh: bool = False
        ) -> list[Record]:
            found = await super().find(kind, backend, *narrower)
            return found if want > 32 else found[:1]

    call = Dispatcher(Wide(producer("a", speed=9), producer("b")), allow=lambda host: True)
    done = await last_of(call.dispatch(STT, Producers(a=DEAD, b="text")))
    assert done.value == "text"


async def test_a_mesh_that_is_mute_for_a_moment_does_not_end_the_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privox_dht.dispatch.dispatcher.SEARCH_INTERVAL", 0.01)

    class Mute(Records):
        async def find(
            self, kind: str, backend: str = "", *narrower: str, want: int = 32, fresh: bool = False
        ) -> list[Record]:
            found = await super().find(kind, backend, *narrower)
            return found if len(self.looked) <= 2 else []

    call = Dispatcher(Mute(producer("a")), allow=lambda host: True)
    work = Producers(a=[ProducerBusy(retry_after=0.01), ProducerBusy(retry_after=0.01), "text"])
    assert (await last_of(call.dispatch(STT, work, wait=5))).value == "text"


async def test_a_time_out_that_is_not_ours_is_not_taken_for_the_deadline() -> None:
    async def broken() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await last_of(caller(producer("a")).dispatch(STT, Producers(a=broken)))


async def test_nothing_of_a_cancelled_job_is_left() -> None:
    never = asyncio.Event()

    async def probe(endpoint: Endpoint) -> None:
        await never.wait()

    records = [producer(f"d{n}") for n in range(9)]
    call = Dispatcher(Records(*records), allow=lambda host: True, probe=probe)
    job = asyncio.create_task(
        last_of(call.dispatch(STT, Producers(**{f"d{n}": DEAD for n in range(9)})))
    )
    while len(asyncio.all_tasks()) < 9:  # noqa: ASYNC110
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_producer_that_did_a_job_is_asked_again_although_a_look_up_missed_it() -> None:
    """Among many dead strangers a sample may hold only strangers; ours must not be forgotten."""
    directory = Records(producer("a", speed=9, expires=2000), producer("z", speed=100))
    call = Dispatcher(directory, allow=lambda host: True, now=lambda: 1000.0, rng=random.Random(1))
    work = Producers(
        a="text", z=ProducerLost("connection refused"), b=ProducerLost("connection refused")
    )
    await last_of(call.dispatch(STT, work))
    directory.records = (producer("b", speed=100),)
    done = await last_of(call.dispatch(STT, work))
    assert work.asked == ["z", "a", "a"]
    assert done.value == "text"


async def test_a_record_that_ran_out_is_not_kept() -> None:
    directory = Records(producer("a", expires=2000))
    clock = [1000.0]
    call = Dispatcher(directory, allow=lambda host: True, now=lambda: clock[0])
    await last_of(call.dispatch(STT, Producers(a="text")))
    directory.records, clock[0] = (), 2000.0
    with pytest.raises(NoProducer):
        await last_of(call.dispatch(STT, Producers(a="text")))


async def test_only_through_a_farm_and_parked_at_none_is_said() -> None:
    with pytest.raises(NoProducer, match="parked at no farm"):
        await last_of(
            caller(producer("a")).dispatch(Requirements("stt", via_farm=True), Producers())
        )


class Place:
    """Whether somebody answers a probe there."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.probes = 0

    async def __call__(self, endpoint: Endpoint) -> None:
        self.probes += 1
        there = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not there:
            raise ProducerLost("silence")


GONE = ProducerLost("its router is gone", begun=True)


async def test_a_last_producer_that_is_lost_is_waited_for_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    place, work = Place(False, False, True), Producers(a=[GONE, "text"])
    told: list[float] = []
    call = Dispatcher(Records(producer("a")), allow=lambda host: True, probe=place)
    done = await last_of(call.dispatch(STT, work), told_to(told))
    assert done.value == "text" and work.asked == ["a", "a"]
    assert place.probes == 3 and len(told) >= 2


async def test_a_last_producer_that_does_not_come_back_is_waited_for_as_long_as_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    call = Dispatcher(Records(producer("a")), allow=lambda host: True, probe=Place(False))
    with pytest.raises(AllProducersFailed, match="its router is gone"):
        await last_of(call.dispatch(STT, Producers(a=GONE), wait=0.1))


async def test_a_farm_that_has_no_line_to_a_last_producer_does_not_make_it_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its router was gone for fifteen seconds. The farm said for eight of them that its lines were
    in use, and then that it knew no such producer: that ended the job after twelve."""
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    answers = [NoParkedLine("no line is free"), ProducerLost("answered 404"), None]

    async def probe(endpoint: Endpoint) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    work = Producers(a=[GONE, "text"])
    call = Dispatcher(Records(producer("a")), allow=lambda host: True, probe=probe)
    done = await last_of(call.dispatch(STT, work))
    assert done.value == "text" and work.asked == ["a", "a"] and not answers


async def test_a_last_producer_that_came_back_and_went_again_is_waited_for_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    work = Producers(a=[GONE, ProducerLost("answered 404"), "text"])
    call = Dispatcher(Records(producer("a")), allow=lambda host: True, probe=Place(True))
    done = await last_of(call.dispatch(STT, work))
    assert done.value == "text" and work.asked == ["a", "a", "a"]


async def test_while_a_last_producer_is_waited_for_one_that_could_not_be_reached_may_do_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A farm moved. One producer was lost with the job, and never came back; the other was not
    reached at the old address. It was parked elsewhere four seconds later, and nobody asked it."""
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    b = producer("b")

    async def probe(endpoint: Endpoint) -> None:
        if endpoint.key != b.publisher:
            raise ProducerLost("silence")

    nobody_there = ProducerLost("no connection within 3 s")
    work = Producers(a=GONE, b=[nobody_there, "text"])
    call = Dispatcher(Records(producer("a", speed=100), b), allow=lambda host: True, probe=probe)
    done = await last_of(call.dispatch(STT, work))
    assert done.record == b and work.asked == ["a", "b", "b"]


async def test_a_last_producer_that_does_not_answer_is_waited_for_and_asked_once_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its lender slept. A client that came then ended with exit code 5, whatever its `--wait`."""
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    monkeypatch.setattr("privox_dht.limits.REDIAL", (0.02, 0.04))
    place, work = Place(False, False, False, False, True), Producers(a=[DEAD, "text"])
    told: list[float] = []
    call = Dispatcher(Records(producer("a")), allow=lambda host: True, probe=place)
    done = await last_of(call.dispatch(STT, work), told_to(told))
    assert done.value == "text" and work.asked == ["a", "a"]
    assert place.probes == 5 and len(told) >= 4


async def test_where_nobody_answers_an_address_is_dialled_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Records name it, and whoever waits must not be made to dial a stranger's every second."""
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)
    monkeypatch.setattr("privox_dht.limits.REDIAL", (0.1, 0.2))
    home = Direct("20.5.5.5", 5678)
    place, work = Place(False), Producers(**{f"{n}": DEAD for n in range(9)})
    call = Dispatcher(
        Records(*(producer(f"{n}", home) for n in range(9))), allow=lambda host: True, probe=place
    )
    with pytest.raises(AllProducersFailed, match="no connection"):
        await last_of(call.dispatch(STT, work, wait=0.5))
    assert 3 <= len(work.asked) + place.probes <= 2 + 5


@pytest.mark.parametrize(
    ("end", "needs", "wait_for_silent"),
    [
        (PeerKeyMismatch("another key", b"k" * 32), STT, True),  # somebody else lives there now
        (EngineFailed("broke"), STT, True),
        (ProducerLost("no route"), STT, True),
        (DEAD, STT, False),  # there is a fallback server
        (DEAD, Requirements("stt", slots=SiblingSlots()), True),  # other pieces can be done first
    ],
)
async def test_it_is_not_waited_for_who_is_not_asleep_nor_where_others_can_do_more(
    end: Exception, needs: Requirements, wait_for_silent: bool
) -> None:
    nowhere = "no route" in str(end)
    call = Dispatcher(
        Records(producer("a")),
        allow=lambda host: not nowhere,
        probe=Place(False),
        wait_for_silent=wait_for_silent,
    )
    async with asyncio.timeout(2.0):
        with pytest.raises(AllProducersFailed):
            await last_of(call.dispatch(needs, Producers(a=end)))


@pytest.mark.parametrize(("online", "asked"), [(True, 2), (False, 6)])
async def test_losses_while_our_own_network_is_gone_are_not_held_against_the_job(
    monkeypatch: pytest.MonkeyPatch, online: bool, asked: int
) -> None:
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)

    async def network() -> bool:
        return online

    work = Producers(a=GONE)
    call = Dispatcher(
        Records(producer("a")), allow=lambda host: True, probe=Place(True), online=network
    )
    with pytest.raises(AllProducersFailed):
        await last_of(call.dispatch(STT, work, wait=1.0))
    assert len(work.asked) == asked


async def test_who_asks_to_be_hidden_is_served_by_nobody_that_was_ever_spoken_to() -> None:
    far, near = Direct("192.0.2.7", 5678), Direct("192.0.2.8", 5678)
    a, b = producer("a", near, Relayed(FARM_KEY)), producer("b", far, Relayed(FARM_KEY))
    here = farm(Direct("192.0.2.50", 1776))
    call = Dispatcher(
        Records(a, b, here), allow=lambda host: True, contacted=lambda at: at[0] == near.host
    )
    work = Producers(a="text", b="text")
    for _ in range(5):
        assert (await last_of(call.dispatch(Requirements("stt", via_farm=True), work))).record == b
    with pytest.raises(NoProducer, match="1 of 1 that match have seen it already"):
        await last_of(call.dispatch(Requirements("stt", via_farm=True, avoid=(b.peer_id,)), work))


async def test_who_asks_to_be_hidden_does_not_go_through_a_farm_beside_the_producer() -> None:
    a = producer("a", Direct("192.0.2.50", 5678), Relayed(FARM_KEY))
    call = caller(a, farm(Direct("192.0.2.50", 1776)))
    with pytest.raises(NoProducer, match="no farm on another host"):
        await last_of(call.dispatch(Requirements("stt", via_farm=True), Producers(a="text")))


async def test_an_address_in_a_family_that_we_do_not_have_is_not_dialled() -> None:
    four, six = Direct("192.0.2.7", 5678), Direct("2001:db8::7", 5678)
    call = Dispatcher(
        Records(producer("a", four), producer("b", four, six)), allow=lambda host: True,
        has_route=lambda ip: ":" in ip,
    )  # fmt: skip
    work = Producers(a="text", b="text")
    done = await last_of(call.dispatch(STT, work))
    assert work.asked == ["b"] and "2001:db8::7" in done.route
    with pytest.raises(AllProducersFailed, match="IPv4 only, which this machine has not"):
        await last_of(call.dispatch(Requirements("stt", avoid=(producer("b").peer_id,)), work))


async def test_the_time_for_which_a_producer_worked_is_no_waiting_for_the_others() -> None:
    """One was lost after 100 s, the other was busy: "all were busy for 60 s", said at once."""
    now = 0.0

    async def die() -> None:
        nonlocal now
        now += 100.0
        raise ProducerLost("it died", begun=True)

    call = Dispatcher(
        Records(producer("a", speed=100), producer("b")), allow=lambda host: True,
        clock=lambda: now, rng=random.Random(1),
    )  # fmt: skip
    work = Producers(a=die, b=[ProducerBusy(retry_after=0.0), "text"])
    assert (await last_of(call.dispatch(STT, work))).value == "text"
    assert work.asked == ["a", "b", "b"]


async def test_a_recording_that_cannot_be_read_here_is_no_producers_fault(tmp_path: Path) -> None:
    """It was quoted as a producer's words, and this producer was asked last from then on."""
    a = producer("a")
    call = caller(a)
    async with SpeechClient(allow=lambda host: True) as client:
        work = TranscriptionWork(client, tmp_path / "none.ogg", TranscriptionOptions())
        with pytest.raises(RequestRejected, match=r"^the recording cannot be read: No such file"):
            await last_of(call.dispatch(STT, work))
    assert not call.reputation.has_rejected(a.peer_id)


async def test_a_farm_that_is_gone_for_a_moment_does_not_end_the_waiting_of_who_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("privox_dht.limits.RETURN_POLL", 0.01)

    class Restarting(Records):
        gone = 0  # look-ups for which its record is withdrawn

        async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
            if self.gone:
                self.gone -= 1
                return None
            return await super().find_farm(public)

    directory = Restarting(producer("a", Relayed(FARM_KEY)), farm(Direct("192.0.2.200", 1776)))

    async def lose() -> None:
        directory.gone = 3
        raise GONE

    work = Producers(a=[lose, "text"])
    call = Dispatcher(directory, allow=lambda host: True, probe=Place(True))
    done = await last_of(call.dispatch(Requirements("stt", via_farm=True), work))
    assert done.value == "text" and work.asked == ["a", "a"] and not directory.gone


async def test_a_candidate_stands_where_the_best_of_its_engines_does() -> None:
    fast, slow = producer("a", speed=100.0), producer("a", speed=0.1, engine="other")
    order = await caller(slow, producer("b", speed=3.0), fast).candidates(STT)
    assert order == [fast, producer("b", speed=3.0)]
