"""The response of the directory's page, written by `https_server` and read by `https_client`."""

from dataclasses import dataclass
from typing import Self

import msgpack

from privox_dht import limits
from privox_dht.addresses import is_literal
from privox_dht.dht import dht_limits
from privox_dht.errors import BadMessage

PATH = "/v1/records"
CONTENT_TYPE = "application/msgpack"
_MAX_MS = 2**53  # the largest number of milliseconds that makes sense


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    mesh: bytes  # 8-byte tag
    time: float  # the node's, in seconds since the epoch
    seen: str  # the client's address, an IP literal
    records: tuple[bytes, ...] = ()  # encoded, each at most MAX_RECORD bytes; not yet checked
    holders: int = 0  # nodes that hold the record that was stored

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb(
            {
                "m": self.mesh,
                "n": int(self.time * 1000),
                "o": self.seen,
                "r": list(self.records),
                "h": self.holders,
            }
        )
        return packed

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """A stranger's answer, checked in size and shape.

        Raises:
            BadMessage: it is none.
        """
        try:
            said = msgpack.unpackb(
                body, max_map_len=16, max_array_len=limits.LIST_WANT, max_str_len=64,
                max_bin_len=limits.MAX_RECORD,
            )  # fmt: skip
        except Exception as exc:  # msgpack raises a dozen kinds; all mean the same here
            raise BadMessage("shape", "not an answer of a directory") from exc
        match said:
            case {"m": bytes() as mesh, "n": int() as ms, "o": str() as seen,
                  "r": list() as records, "h": int() as holders}:  # fmt: skip
                good = all(type(record) is bytes for record in records) and is_literal(seen)
                if good and 0 <= ms <= _MAX_MS and 0 <= holders <= dht_limits.LOOKUP_REQUESTS:
                    return cls(mesh, ms / 1000, seen, tuple(records), int(holders))
        raise BadMessage("shape", "not an answer of a directory")
