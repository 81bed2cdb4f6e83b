"""The checks that every record passes."""

from dataclasses import replace
from typing import Any

import pytest

from privox_dht import limits, records
from privox_dht.dht.record_validator import REASONS, RecordValidator, shard, shard_of
from privox_dht.errors import BadRecord
from privox_dht.identity import Identity, verify
from privox_dht.records import Record, keys_of, network_tag, sign

NOW, MESH, SALT = 1_000_000.0, network_tag("test"), b"s" * 16
ME = Identity(b"s" * 32)


def signed(*, who: Identity = ME, **more: Any) -> Record:
    fields: dict[str, Any] = {"kind": "stt", "engine": "e", "sequence": 1, "issued": int(NOW)}
    fields = {"mesh": MESH, "expires": int(NOW) + 120, "slots": 1, "idle": 1, **fields, **more}
    return sign(who, Record(publisher=who.public, **fields))


def reason(
    validator: RecordValidator, wire: bytes, key: bytes | None = None, now: float = NOW
) -> str:
    with pytest.raises(BadRecord) as caught:
        validator.validate(wire, key or keys_of(signed())[0], now)
    assert caught.value.reason in REASONS
    return caught.value.reason


def test_a_good_record_passes() -> None:
    record = signed(languages=("de",))
    for key in keys_of(record):
        assert RecordValidator(MESH, SALT).validate(record.encoded, key, NOW) == record


@pytest.mark.parametrize("at", [0, 63, 64, 90, 150])
def test_a_flipped_bit_is_a_forgery_or_nonsense(at: int) -> None:
    wire = bytearray(signed().encoded)
    wire[at] ^= 1
    assert reason(RecordValidator(MESH, SALT), bytes(wire)) in (
        "signature",
        "shape",
        "field",
        "mesh",
        "version",
    )


def test_another_key_cannot_sign_for_a_publisher() -> None:
    other = Identity(b"o" * 32)
    body = signed().encoded[64:]
    assert (
        reason(RecordValidator(MESH, SALT), other.sign(b"privox_dht record 1\0" + body) + body)
        == "signature"
    )


def test_records_out_of_their_time_are_dropped() -> None:
    validator = RecordValidator(MESH, SALT)
    assert reason(validator, signed().encoded, now=NOW + 121) == "expired"
    assert reason(validator, signed().encoded, now=NOW - limits.CLOCK_SKEW - 1) == "future"


def test_a_record_verified_before_still_expires() -> None:
    validator, record = RecordValidator(MESH, SALT), signed()
    validator.validate(record.encoded, keys_of(record)[0], NOW)
    assert reason(validator, record.encoded, now=NOW + 121) == "expired"


def test_a_record_stands_only_under_its_own_keys() -> None:
    validator, record = RecordValidator(MESH, SALT), signed()
    assert reason(validator, record.encoded, b"x" * 20) == "wrong_key"
    validator.validate(record.encoded, keys_of(record)[0], NOW)
    assert reason(validator, record.encoded, b"x" * 20) == "wrong_key"


def test_an_older_word_is_dropped_after_a_newer_one() -> None:
    validator, old, new = RecordValidator(MESH, SALT), signed(sequence=1), signed(sequence=2)
    key = keys_of(old)[0]
    validator.validate(new.encoded, key, NOW)
    assert reason(validator, old.encoded, key) == "superseded"
    validator.validate(new.encoded, key, NOW)


def test_a_replay_after_withdrawal_is_dropped_on_receipt_and_at_use() -> None:
    validator, live, gone = (
        RecordValidator(MESH, SALT),
        signed(sequence=1),
        signed(sequence=2, withdrawn=True),
    )
    key = keys_of(live)[0]
    kept = validator.validate(live.encoded, key, NOW)
    assert validator.current([kept], NOW) == [kept]
    assert validator.current([validator.validate(gone.encoded, key, NOW)], NOW) == []
    assert validator.current([kept], NOW) == []  # found before, withdrawn since
    assert reason(validator, live.encoded, key) == "superseded"


def test_what_was_found_before_is_checked_again_at_use() -> None:
    validator, record = RecordValidator(MESH, SALT), signed()
    kept = validator.validate(record.encoded, keys_of(record)[0], NOW)
    assert validator.current([kept], NOW + 121) == []


def test_engines_and_services_do_not_hide_one_another() -> None:
    validator = RecordValidator(MESH, SALT)
    for record in (
        signed(sequence=9),
        signed(engine="f"),
        signed(kind="tts"),
        signed(backend="gpu"),
    ):
        assert validator.validate(record.encoded, keys_of(record)[0], NOW) == record


def test_memory_is_bounded_and_swept() -> None:
    validator = RecordValidator(MESH, SALT, most=10)
    for n in range(30):
        record = signed(who=Identity(n.to_bytes(32, "big")))
        validator.validate(record.encoded, keys_of(record)[0], NOW)
    assert len(validator) == 10
    validator.sweep(NOW + 121)
    assert not len(validator)


def test_a_replay_of_an_older_word_costs_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    validator, old, new = RecordValidator(MESH, SALT), signed(sequence=1), signed(sequence=2)
    key, checked = keys_of(old)[0], list[bytes]()

    def counted(public: bytes, signature: bytes, message: bytes) -> bool:
        checked.append(signature)
        return verify(public, signature, message)

    monkeypatch.setattr(records, "verify", counted)
    for _ in range(3):
        validator.validate(new.encoded, key, NOW)
        assert reason(validator, old.encoded, key) == "superseded"
    assert len(checked) == 1


def test_of_too_many_words_one_that_ends_soon_goes() -> None:
    validator = RecordValidator(MESH, SALT, most=40)
    for n in range(80):
        record = signed(who=Identity(n.to_bytes(32, "big")), expires=int(NOW) + 20 + 100 * (n < 20))
        validator.validate(record.encoded, keys_of(record)[0], NOW)
    validator.sweep(NOW + 21)
    assert 15 <= len(validator) <= 20


def test_a_key_splits_by_the_first_bits_of_the_publishers_id() -> None:
    key, publisher = b"k" * 20, bytes.fromhex("a3b4") + bytes(18)
    assert shard_of(key, publisher, 0) == key
    assert shard_of(key, publisher, 1) == shard(key, 0xA, 1)
    assert shard_of(key, publisher, 2) == shard(key, 0xA3, 2)
    all_keys = {
        shard(key, n, depth)
        for depth, n in [(1, n) for n in range(16)] + [(2, n) for n in range(256)]
    }
    assert len(all_keys) == 272


def test_a_changed_record_of_equal_sequence_changes_nothing_that_was_verified() -> None:
    validator, record = RecordValidator(MESH, SALT), signed()
    validator.validate(record.encoded, keys_of(record)[0], NOW)
    forged = replace(record, idle=0).encoded[:-1] + b"\x05"
    assert reason(validator, forged) in ("signature", "shape", "field", "lifetime", "expired")


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_whatever_the_hashes_are_one_of_the_others_goes(most: int) -> None:
    """Of some hashes no other word was looked at, and a good record raised in the handler."""
    validator = RecordValidator(MESH, SALT, most=most)
    for number in range(64):
        who = Identity(number.to_bytes(32, "big"))
        record = signed(who=who)
        assert validator.validate(record.encoded, keys_of(record)[0], NOW) == record
        assert len(validator) <= most
        assert validator._is_newest(record) and not validator._is_newest(
            signed(who=who, sequence=0)
        )
