"""Which producers to ask, in which order. Pure.

    needs       what a producer must have
    records     what producers claim (hints, some of them old)
    reputation  how they behaved
    now, rng    time and randomness

Records that do not match the needs are left out. The others are ordered by tiers: preferred by the
client, then idle, then busy, and last those that were lost recently. Within a tier producers that
rejected or failed a job come last, and fast and idle ones first; a random factor keeps clients that
read the same records from all asking the same producer. While some producers are lost or doubted,
those that did a job for us come first: a stranger may have invented the others.
"""

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from privox_dht import languages, model_names
from privox_dht.dispatch.reputation import ReputationTable
from privox_dht.dispatch.sibling_slots import Slots
from privox_dht.model_names import explain_only_named
from privox_dht.quotas import source_network
from privox_dht.records import Direct, Record
from privox_dht.speech import BACKENDS

ANY = "any"
JITTER = 0.4  # a score is multiplied by 1 +- this: similar ones share jobs, a 3x faster one wins
UNKNOWN_SPEED = 1.0  # seconds of audio per second, for records without a speed
SPEED_CAP = 200.0  # claiming more than this gains nothing


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a client requires of a producer."""

    service: str
    backend: str = ANY  # "cpu", "gpu" or "any"
    model: str = ""  # an engine, a model, "engine:model", or (tts) a voice
    voice: str = ""
    language: str = ""  # a BCP 47 tag
    translate: bool = False  # stt: into English
    only: tuple[str, ...] = ()  # peer ids or their prefixes: no other producers
    prefer: tuple[str, ...] = ()  # these first
    avoid: tuple[str, ...] = ()  # never these
    via_farm: bool = False  # relayed routes only, so that the producer does not see our address
    engine: str = ""  # only this engine, in addition to `model`
    slots: Slots | None = field(default=None, compare=False)  # shared with other jobs
    most_lost: int = 0  # producers that may be lost on this job; 0: `limits.MAX_LOST_DURING_JOB`

    @property
    def backends(self) -> tuple[str, ...]:
        return BACKENDS if self.backend == ANY else (self.backend,)

    @property
    def searches(self) -> tuple[tuple[str, ...], ...]:
        """The words to narrow each look-up by, in order: first none, then the language or model."""
        name = model_names.model(self.model, ()) or model_names.voice(self.voice, ())
        model = name.rpartition(":")[2]
        narrower = (
            self.language and f"language={languages.primary(self.language)}",
            model and f"model={model}",
        )
        return ((), *((word,) for word in narrower if word))

    def __str__(self) -> str:
        details = (
            self.model and f"model {self.model}",
            self.voice and f"voice {self.voice}",
            self.language and f"language {self.language}",
            "translated into English" if self.translate else "",
        )
        what = self.service if self.backend == ANY else f"{self.service}/{self.backend}"
        return ", ".join([what, *filter(None, details)])


def matches(record: Record, needs: Requirements) -> bool:
    """Whether the producer of `record` meets `needs`."""
    return (
        record.kind == needs.service
        and record.backend in needs.backends
        and not record.withdrawn
        and (not needs.only or _names(record, needs.only))
        and not _names(record, needs.avoid)
        and needs.engine in ("", record.engine)
        and _has(record, model_names.model(needs.model, record.models))
        and _has(record, model_names.voice(needs.voice, record.models))
        and _speaks(record, needs.language)
        and (record.translates or not needs.translate)
        and (not record.only_named or bool(needs.model and _lists(record, needs.model)))
    )


def rank(
    records: Iterable[Record],
    needs: Requirements,
    reputation: ReputationTable,
    now: float,
    rng: random.Random,
    *,
    failed: Collection[str] = (),
) -> list[Record]:
    """The records that match, best first. `failed` are networks whose producers failed this job:
    others come before theirs, and claimed speeds are ignored."""
    fitting = [record for record in records if matches(record, needs)]
    careful = reputation.has_recent_failures(now)

    def order(record: Record) -> tuple[bool | float, ...]:
        asked_to_wait = reputation.busy_seconds(record.peer_id, now) > 0
        claimed = UNKNOWN_SPEED if failed else record.speed or UNKNOWN_SPEED
        speed = min(reputation.speed_of(record) or claimed, SPEED_CAP)
        share = record.idle / record.slots if record.slots else 0.0
        score = speed * (0.5 + share) * rng.uniform(1 - JITTER, 1 + JITTER)
        return (
            reputation.is_backed_off(record.peer_id, now),
            not _names(record, needs.prefer),
            asked_to_wait or record.idle == 0,
            not _lists_all_named(record, needs),
            not networks_of(record).isdisjoint(failed),
            reputation.has_rejected(record.peer_id),
            careful and not reputation.has_succeeded(record.peer_id),
            -score,
        )

    return sorted(fitting, key=order)


def networks_of(record: Record) -> set[str]:
    """The networks (`quotas.source_network`) of its direct routes."""
    direct = (route for route in record.routes if isinstance(route, Direct))
    return {source_network(route.host, route.port) for route in direct}


def explain_no_match(records: Iterable[Record], needs: Requirements) -> str:
    """A sentence for the user if no record matches: what there is instead."""
    there = [r for r in records if not r.withdrawn and r.kind == needs.service]
    if not there:
        return f"no producer on the mesh offers {needs.service} now"
    open_to_all = replace(needs, only=(), avoid=())
    if any(matches(record, open_to_all) for record in there):
        left = "--only" if needs.only else "--avoid"
        who = ", ".join(sorted({r.peer_id for r in there if matches(r, open_to_all)})[:6])
        return f"{left} leaves no producer that offers {needs}; there is: {who}"
    for flag, _, without in _relaxed(open_to_all):
        if offers := {_offer_label(record) for record in there if matches(record, without)}:
            found = "; ".join(sorted(offers)[:6])
            return f"no producer offers {needs}; without {flag} there is: {found}"
    if named := sorted(
        {_engine_label(record) for record in there if _lacks_only_a_name(record, open_to_all)}
    ):
        return f"for {needs} {explain_only_named(named[:6])}"
    offers = {_offer_label(record) for record in there}
    return f"no producer offers {needs}; there is: {'; '.join(sorted(offers)[:6])}"


def unmet_demand(records: Iterable[Record], needs: Requirements) -> str:
    """The requirement that no producer meets: "model", "voice", "language" or "translation", the
    first one without which some record matches; "": it is none of these."""
    there = list(records)
    named = [(what, without) for _, what, without in _relaxed(needs) if what != "backend"]
    for what, without in named:
        if any(matches(record, without) for record in there):
            return what
    if any(_lacks_only_a_name(record, needs) for record in there):
        return "model"
    bare = replace(needs, model="", voice="", language="", translate=False)
    offered = any(matches(replace(record, only_named=False), bare) for record in there)
    return named[0][0] if named and offered else ""


def _lacks_only_a_name(record: Record, needs: Requirements) -> bool:
    """Whether it would match if the client named it: it serves only named requests."""
    return (
        not needs.model and record.only_named and matches(replace(record, only_named=False), needs)
    )


def _relaxed(needs: Requirements) -> Iterator[tuple[str, str, Requirements]]:
    """The needs without one requirement: its flag of `privox-client`, its name, what remains."""
    if needs.backend != ANY:
        yield f"--backend {needs.backend}", "backend", replace(needs, backend=ANY)
    if needs.model:
        yield f"--model {needs.model}", "model", replace(needs, model="")
    if needs.voice:
        yield f"--voice {needs.voice}", "voice", replace(needs, voice="")
    if needs.language:
        yield f"--language {needs.language}", "language", replace(needs, language="")
    if needs.translate:
        yield "--translate", "translation", replace(needs, translate=False)


def _offer_label(record: Record) -> str:
    models = ", ".join(record.models[:4]) + (", ..." if record.more else "")
    languages = f" [{' '.join(record.languages[:6])}]" if record.languages else ""
    return _engine_label(record) + (f" ({models})" if models else "") + languages


def _engine_label(record: Record) -> str:
    return f"{record.kind}/{record.backend}/{record.engine}"


def _names(record: Record, peer_ids: tuple[str, ...]) -> bool:
    return any(record.peer_id.startswith(peer_id) for peer_id in peer_ids if peer_id)


def _has(record: Record, name: str) -> bool:
    """Whether it may have a model, voice or engine of this name, listed or not."""
    return not name or record.more or _lists(record, name)


def _speaks(record: Record, language: str) -> bool:
    known = record.languages
    return not language or not known or languages.nearest(language, known) is not None


def _lists_all_named(record: Record, needs: Requirements) -> bool:
    return all(_lists(record, name) for name in (needs.model, needs.voice) if name)


def _lists(record: Record, name: str) -> bool:
    engine, _, model = name.partition(":")
    return name == record.engine or name in record.models or (
        engine == record.engine and model in record.models
    )  # fmt: skip
