"""Capability records: what a reader believes, and everything it must not."""

import random
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privox_dht import limits, records
from privox_dht.errors import BadRecord
from privox_dht.identity import SIGNATURE, Identity
from privox_dht.records import Direct, Record, Relayed

NOW = 1_800_000_000.0
MESH = records.network_tag("test")
PRODUCER = Identity(b"p" * 32)
STRANGER = Identity(b"s" * 32)
FARMS = tuple(Identity(bytes([n]) * 32).public for n in (1, 2))

FULL = Record(
    publisher=PRODUCER.public,
    mesh=MESH,
    kind="stt",
    backend="gpu",
    engine="faster-whisper",
    models=("tiny.en", "base.en", "small.en", "medium", "large-v3", "turbo", "tiny", "base"),
    more=True,
    languages=("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "sv", "uk", "zh", "ko"),
    routes=(
        Direct("203.0.113.77", 5678),
        Direct("2001:db8:1234:5678:9abc:def0:1234:5678", 5678),
        *map(Relayed, FARMS),
    ),
    slots=8,
    idle=5,
    speed=31.4,
    terms={"p": 5000},
    translates=True,
    only_named=True,
    sequence=int(NOW * 1000),
    issued=int(NOW),
    expires=int(NOW + limits.RECORD_LIFETIME),
)
PLAIN = Record(
    publisher=PRODUCER.public,
    mesh=MESH,
    kind="tts",
    sequence=7,
    issued=int(NOW),
    expires=int(NOW + 60),
)


def parse(wire: object, now: float = NOW, **options: Any) -> Record:
    return records.parse(wire, now, MESH, **options)


def fields_of(record: Record) -> dict[str, Any]:
    """The body of a signed record as a map, to be altered and signed again with `signed`."""
    wire = records.sign(PRODUCER, record).encoded
    fields: dict[str, Any] = msgpack.unpackb(wire[SIGNATURE:])
    return fields


def signed(body: object, identity: Identity = PRODUCER) -> bytes:
    """A well-signed wire of any body at all: what a stranger with a key of his own may send."""
    packed = body if isinstance(body, bytes) else msgpack.packb(body)
    return identity.sign(records.DOMAIN + packed) + packed


def reason(wire: object, now: float = NOW) -> str:
    with pytest.raises(BadRecord) as caught:
        parse(wire, now)
    assert caught.value.reason in records.REASONS
    return caught.value.reason


# -- what is believed ------------------------------------------------------------------------------


def test_a_full_record_comes_back_as_it_was_said() -> None:
    ours = records.sign(PRODUCER, FULL)
    assert parse(ours.encoded) == ours == replace(FULL, encoded=ours.encoded)
    assert ours.peer_id == PRODUCER.peer_id


def test_a_full_example_is_no_longer_than_promised() -> None:
    assert len(records.sign(PRODUCER, FULL).encoded) <= limits.TYPICAL_RECORD == 480


def test_what_was_not_said_is_read_as_the_default() -> None:
    read = parse(records.sign(PRODUCER, PLAIN).encoded)
    assert (read.backend, read.engine, read.models, read.routes) == ("cpu", "", (), ())
    assert (read.slots, read.idle, read.speed, read.withdrawn) == (0, 0, 0.0, False)


def test_one_record_has_one_encoding() -> None:
    first, second = records.sign(PRODUCER, FULL), records.sign(PRODUCER, FULL)
    assert first.encoded == second.encoded
    names = list(fields_of(FULL))
    assert names == sorted(names)
    assert all(len(name) == 1 for name in names)


def test_fields_of_a_later_version_are_kept_and_ignored() -> None:
    wire = signed(fields_of(FULL) | {"Z": ["new", {"deep": 1}]})
    read = parse(wire)
    assert read.encoded == wire, "it is passed on with what we do not know"
    assert replace(read, encoded=b"") == FULL


def test_an_unknown_kind_is_a_record_too() -> None:
    assert parse(records.sign(PRODUCER, replace(PLAIN, kind="sing")).encoded).kind == "sing"


@given(
    engine=st.text(st.characters(categories=["L", "N"]), max_size=limits.MAX_NAME),
    models=st.lists(st.from_regex(r"[!-~]{1,32}", fullmatch=True), max_size=12),
    languages=st.lists(st.sampled_from(["de", "en", "zh", "nds"]), max_size=20),
    hosts=st.lists(st.ip_addresses().map(str), max_size=2),
    slots=st.integers(0, limits.MAX_SLOTS),
    speed=st.integers(0, 10_000),
    withdrawn=st.booleans(),
)
def test_whatever_we_sign_a_reader_believes(
    engine: str,
    models: list[str],
    languages: list[str],
    hosts: list[str],
    slots: int,
    speed: int,
    withdrawn: bool,
) -> None:
    ours = records.sign(
        PRODUCER,
        replace(
            PLAIN,
            engine=engine,
            models=tuple(models),
            languages=tuple(languages),
            routes=tuple(Direct(host, 5678) for host in hosts),
            slots=slots,
            idle=slots // 2,
            speed=speed / 10,
            withdrawn=withdrawn,
        ),
    )
    assert parse(ours.encoded) == ours
    assert ours.more == (len(ours.models) < len(models))


def test_what_does_not_fit_is_left_out_models_first() -> None:
    long = tuple(f"{n}" + "m" * (limits.MAX_NAME - 1) for n in range(9))
    ours = records.sign(PRODUCER, replace(FULL, models=long, more=False))
    assert len(ours.encoded) <= limits.MAX_RECORD
    assert 0 < len(ours.models) < limits.MAX_MODELS
    assert ours.models == long[: len(ours.models)]
    assert ours.more
    assert ours.languages == FULL.languages


def test_languages_are_left_out_when_models_were_not_enough() -> None:
    long = tuple(f"{n:02}" + "l" * (limits.MAX_NAME - 2) for n in range(16))
    ours = records.sign(PRODUCER, replace(FULL, languages=long))
    assert len(ours.encoded) <= limits.MAX_RECORD
    assert ours.models == ()
    assert 0 < len(ours.languages) < len(long)


@pytest.mark.parametrize("name", ["my voice", "m" * (limits.MAX_NAME + 1), "a\nb"])
def test_a_model_whose_name_no_record_can_hold_is_left_out_and_the_others_are_published(
    name: str,
) -> None:
    """A voice in "my voice.onnx" kept every record of its node from being announced."""
    ours = records.sign(PRODUCER, replace(PLAIN, models=("small", name, "large")))
    assert ours.models == ("small", "large") and ours.more
    assert not records.sign(PRODUCER, replace(PLAIN, models=("small", ""))).more


def test_we_do_not_sign_what_a_reader_would_drop() -> None:
    with pytest.raises(BadRecord, match="field: i"):
        records.sign(PRODUCER, replace(FULL, idle=9, slots=8))
    with pytest.raises(BadRecord, match="lifetime"):
        records.sign(PRODUCER, replace(FULL, expires=FULL.issued + 1000))


# -- forgeries -------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_is_found() -> None:
    wire = records.sign(PRODUCER, FULL).encoded
    rng = random.Random(1)
    for place in range(len(wire)):
        forged = bytearray(wire)
        forged[place] ^= 1 << rng.randrange(8)
        with pytest.raises(BadRecord):
            parse(bytes(forged))


def test_a_signature_is_not_made_good_by_being_trusted_about_other_bytes() -> None:
    wire = bytearray(records.sign(PRODUCER, FULL).encoded)
    wire[0] ^= 1
    assert reason(bytes(wire)) == "signature"
    assert parse(bytes(wire), trusted=True).peer_id == PRODUCER.peer_id


def test_nobody_signs_in_anothers_name() -> None:
    assert reason(signed(fields_of(FULL), STRANGER)) == "signature"


def test_a_signature_made_for_another_purpose_means_nothing() -> None:
    body = msgpack.packb(fields_of(FULL))
    for prefix in (b"", b"privox_dht relay 1\0", b"privox_dht record 2\0"):
        assert reason(PRODUCER.sign(prefix + body) + body) == "signature"


def test_a_record_is_good_until_it_expires_and_not_after() -> None:
    wire = records.sign(PRODUCER, FULL).encoded
    assert parse(wire, FULL.expires - 0.001)
    assert reason(wire, FULL.expires) == "expired"


def test_clocks_may_differ_by_so_much_and_no_more() -> None:
    wire = records.sign(PRODUCER, FULL).encoded
    assert parse(wire, FULL.issued - limits.CLOCK_SKEW)
    assert reason(wire, FULL.issued - limits.CLOCK_SKEW - 1) == "future"


@pytest.mark.parametrize("lifetime", [0, -1, limits.RECORD_LIFETIME + limits.CLOCK_SKEW + 1, 1e9])
def test_no_record_outlives_what_was_agreed(lifetime: float) -> None:
    fields = fields_of(FULL) | {"a": int(NOW) + 20, "z": int(NOW + 20 + lifetime)}
    assert reason(signed(fields)) == "lifetime"


def test_a_record_of_another_mesh_is_not_ours() -> None:
    wire = records.sign(PRODUCER, replace(FULL, mesh=records.network_tag("other"))).encoded
    assert reason(wire) == "mesh"


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, [1]])
def test_another_version_is_dropped(version: object) -> None:
    assert reason(signed(fields_of(FULL) | {"v": version})) == "version"


@pytest.mark.parametrize("wire", [None, 7, "text", [], {}, bytearray(100), b"", bytes(64)])
def test_what_is_no_record_at_all_is_dropped_by_its_size(wire: object) -> None:
    assert reason(wire) == "size"


def test_a_record_too_long_is_dropped_unread() -> None:
    wire = signed(fields_of(FULL) | {"Z": bytes(limits.MAX_RECORD)})
    assert reason(wire) == "size"


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",  # never used in msgpack
        b"\x91" * 400,  # nested deeper than any stack
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million
        b"\xdd\xff\xff\xff\xff",  # an array likewise
        b"\xa1\xff",  # not UTF-8
        [1, 2],
        {1: 2},
        {b"v": 1},
        {"v": 1, None: 2},
        msgpack.packb({"v": 1}) + b"\0",  # something comes after it
        {"Z": list(range(65))},
    ],
)
def test_a_body_of_another_shape_is_dropped(body: object) -> None:
    assert reason(signed(body)) == "shape"


WRONG: dict[str, list[object]] = {
    "a": [None, -1, 2**40 + 1, 1.5, "1", True],
    "b": [None, "", "tpu", 1, ["cpu"]],
    "e": [None, "two words", "x" * 33, "line\nbreak", "\x1b[31m", "a\u202eb", 7, b"x"],
    "i": [None, -1, 9, 1.0, True],
    "k": [None, b"", bytes(31), bytes(33), "k" * 32],
    "l": [None, "en", [""], ["x" * 33], ["e n"], [7], ["en"] * 17, {}],
    "m": [None, bytes(7), bytes(9), "m" * 8],
    "n": [None, -1, 2**53 + 1, 1.0],
    "o": [None, "tiny", [""], ["x" * 33], ["\x07"], [b"tiny"], ["m"] * 9],
    "p": [None, 1, "yes"],
    "q": [None, [], {"ab": 1}, {"a": -1}, {"a": 1.5}, {"a": True}, dict.fromkeys("abcdefghi", 1)],
    "r": [
        None,
        {},
        [[]],
        [[bytes(31)]],
        [["f" * 32]],
        [[bytes(4), 0]],
        [[bytes(4), 65536]],
        [[bytes(4), -1]],
        [[bytes(4), True]],
        [[bytes(4), "80"]],
        [[bytes(4), None]],
        [[bytes(5), 80]],
        [["localhost", 80]],
        [[bytes(4), 80, 1]],
        [None],
        [[bytes(4), 80]] * 5,
    ],
    "s": [None, -1, 256, 8.0, False],
    "t": [None, "", "s t t", "x" * 33, 1],
    "w": [None, 0, "no"],
    "d": [None, 0, "no"],
    "y": [None, 0, "no"],
    "x": [None, -1, 1_000_001, 3.14],
    "z": [None, -1, 2**40 + 1, "soon"],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_field_of_the_wrong_type_or_range_is_dropped(name: str, value: object) -> None:
    fields = fields_of(FULL)
    assert name in set(fields) | {"w"}
    assert reason(signed(fields | {name: value})) in {"field", "mesh"}


def test_every_field_is_mutated_above() -> None:
    assert set(WRONG) | {"v"} == set(fields_of(replace(FULL, withdrawn=True)))


@pytest.mark.parametrize("name", ["a", "k", "m", "n", "t", "z"])
def test_a_field_that_must_be_there_must_be_there(name: str) -> None:
    fields = fields_of(FULL)
    del fields[name]
    assert reason(signed(fields)) == "field"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=40)
    | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(WRONG)), value=anything)
def test_no_value_of_any_field_breaks_the_reader(name: str, value: object) -> None:
    try:
        read = parse(signed(fields_of(FULL) | {name: value}))
    except BadRecord as exc:
        assert exc.reason in records.REASONS
    else:
        assert 0 <= read.idle <= read.slots <= limits.MAX_SLOTS
        assert all(route.port is not True for route in read.routes if isinstance(route, Direct))


@given(st.binary(max_size=limits.MAX_RECORD + 1))
def test_no_bytes_break_the_reader(wire: bytes) -> None:
    with pytest.raises(BadRecord):
        parse(wire)
    with pytest.raises(BadRecord):
        parse(signed(wire))


# -- which one counts, and where it stands ---------------------------------------------------------


def test_the_newest_counts_for_each_publisher_and_engine() -> None:
    old, new = replace(PLAIN, sequence=1), replace(PLAIN, sequence=2)
    other_engine = replace(PLAIN, engine="piper", sequence=1)
    other_publisher = replace(PLAIN, publisher=STRANGER.public, sequence=1)
    for order in ([old, new, other_engine, other_publisher], [other_publisher, new, old]):
        assert new in records.latest_per_key(order)
        assert old not in records.latest_per_key(order)
    assert len(records.latest_per_key([old, new, other_engine, other_publisher])) == 3


def test_a_withdrawal_wins_over_what_it_withdraws_however_late_that_is_replayed() -> None:
    withdrawal = replace(PLAIN, sequence=PLAIN.sequence + 1, withdrawn=True)
    assert records.latest_per_key([PLAIN, withdrawal, PLAIN]) == [withdrawal]


def test_sequences_go_up_even_when_the_clock_goes_back() -> None:
    first = records.next_sequence(0, NOW)
    assert first == NOW * 1000
    assert records.next_sequence(first, NOW) == first + 1
    assert records.next_sequence(first, NOW - 3600) == first + 1
    assert records.next_sequence(0, NOW + 1) > first, "after a restart that kept nothing"


def test_a_record_stands_under_its_service_and_each_of_its_few_words() -> None:
    record = replace(PLAIN, languages=("de", "en"), models=("thorsten",))
    keys = records.keys_of(record)
    assert keys == (
        records.service_key(MESH, "tts", "cpu"),
        records.service_key(MESH, "tts", "cpu", "language=de"),
        records.service_key(MESH, "tts", "cpu", "language=en"),
        records.service_key(MESH, "tts", "cpu", "model=thorsten"),
    )
    assert all(len(key) == 20 for key in keys)


def test_who_speaks_many_languages_stands_under_none_of_them() -> None:
    many = tuple(f"l{n}" for n in range(records.NARROW_UP_TO + 1))
    assert len(records.keys_of(replace(PLAIN, languages=many, models=many))) == 1
    assert len(records.keys_of(replace(PLAIN, models=("m",), more=True))) == 1


def test_keys_of_different_meshes_services_and_backends_differ() -> None:
    other = records.network_tag("other")
    places = [(m, k, b) for m in (MESH, other) for k in ("stt", "tts") for b in ("cpu", "gpu")]
    assert len({records.service_key(*place) for place in places}) == 8


def test_a_farm_stands_under_farms_and_under_its_own_key() -> None:
    farm = replace(PLAIN, kind=records.FARM)
    service, own = records.keys_of(farm)
    assert service == records.service_key(MESH, "farm")
    assert own == records.farm_key(MESH, PRODUCER.public)
    assert own != records.farm_key(MESH, STRANGER.public)


def test_records_and_routes_say_how_they_are() -> None:
    assert str(FULL) == f"{PRODUCER.peer_id[:8]} stt/gpu/faster-whisper 5/8 idle"
    assert str(replace(PLAIN, kind="farm")).endswith(" farm 0/0 idle")
    assert str(Direct("2001:db8::1", 5678)) == "direct [2001:db8::1]:5678"
    assert str(Relayed(PRODUCER.public)) == f"relayed by {PRODUCER.peer_id[:8]}"
