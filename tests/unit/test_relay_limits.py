"""What a farm grants, as its record says it; and whose allowance a connection uses."""

from privox_dht import limits, records
from privox_dht.identity import Identity
from privox_dht.relay import FarmLimits


def test_terms_go_through_a_record_and_come_back() -> None:
    terms = FarmLimits(producers=7, call_bytes=2**40, buffered=1)
    mesh = records.network_tag("test")
    record = records.Record(
        bytes(32), mesh, records.FARM, terms=terms.to_record(), issued=1000, expires=1100
    )
    wire = records.sign(Identity.generate(), record).encoded
    assert records.parse(wire, 1000.0, mesh).terms == terms.to_record()


def test_an_hour_of_audio_passes_in_one_call() -> None:
    terms = FarmLimits()
    assert terms.call_bytes > limits.MAX_UPLOAD > 3600 * 16_000 * 2
    assert terms.call_seconds > 2 * 3600


def test_one_address_cannot_claim_every_line_of_a_producer() -> None:
    assert FarmLimits().calls_per_address <= FarmLimits().lines // 2
