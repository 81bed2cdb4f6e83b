"""What a record costs a node in memory, with all that remembers it.

    python -m bench.record_memory

Signed records of 400 bytes, each of another producer and two of them from each address, as they
come: through the gate, which remembers whose signature was good and which word was the newest, into
the store. Bytes that Python allocated (tracemalloc), by record: in the `store`, and in `all`.
"""

import argparse
import gc
import json
import random
import time
import tracemalloc
from collections.abc import Iterator

from privox_dht.dht.answer_codec import HELD
from privox_dht.dht.record_store import RecordStore
from privox_dht.dht.record_validator import RecordValidator
from privox_dht.identity import Identity
from privox_dht.records import Direct, Record, network_tag, service_key, sign

MESH = network_tag("privox")
MODELS = tuple(f"a-model-of-some-length--{n}" for n in range(8))  # which make it 400 bytes long


def some_records(count: int, now: int) -> Iterator[Record]:
    for number in range(count):
        who = Identity(number.to_bytes(32, "big"))
        record = Record(
            who.public, MESH, "stt", engine="faster-whisper", models=MODELS, languages=("de", "en"),
            routes=(Direct("203.0.113.5", 5678),), slots=2, idle=number % 3, speed=4.2,
            sequence=now * 1000 + number, issued=now, expires=now + 120,
        )  # fmt: skip
        yield sign(who, record)


def bytes_per_record(count: int) -> dict[str, float]:
    """Bytes by record in the store, and with what the gate remembers of it."""
    now = int(time.time())
    wires = [record.encoded for record in some_records(count, now)]
    longest = max(map(len, wires))
    key = service_key(MESH, "stt", "cpu")
    gate = RecordValidator(MESH, b"salt")
    store = RecordStore(random.Random(1), per_key=count)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number, wire in enumerate(wires):
            source = (number // 2).to_bytes(4, "big")
            # as from a socket: bytes of its own, which nobody else holds
            record = gate.validate(bytes(bytearray(wire)), key, now)
            assert store.put(key, record, source, now) == HELD
        del record
        gc.collect()  # what Python keeps for its next tuples is no memory of a record
        every = tracemalloc.get_traced_memory()[0] - before
        del gate
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    return {"length": longest, "store": round(held / count, 1), "all": round(every / count, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=10_000)
    print(json.dumps(bytes_per_record(parser.parse_args().records)))


if __name__ == "__main__":
    main()
