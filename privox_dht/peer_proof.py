"""A client proves its identity to one producer, and to no other node. Pure.

    client -> producer    X-Privox-Peer: <peer id> <ms since the epoch> <signature, base64>

The client's key signs the time and the producer's key. The header is sent inside TLS, which is
pinned to that same key: no farm can read it, and it proves nothing to another producer. By default
clients are anonymous.
"""

import base64

from privox_dht.errors import BadMessage
from privox_dht.identity import Identity, public_of, verify

HEADER = "X-Privox-Peer"
DOMAIN = b"privox_dht job 1\0"
CLOCK_SKEW = 120.0  # seconds by which the clocks of both may differ
MAX_LENGTH = 200  # characters; a peer id, a time and a signature have 155


def prove(identity: Identity, producer: bytes, now: float) -> str:
    """The header for the producer with this key."""
    when = str(int(now * 1000))
    signature = identity.sign(_signed(producer, when))
    return f"{identity.peer_id} {when} {base64.b64encode(signature).decode('ascii')}"


def proven(header: str, producer: bytes, now: float) -> str:
    """The peer id that the header proves to the producer with this key.

    Raises:
        BadMessage: it proves none.
    """
    parts = header.split(" ") if len(header) <= MAX_LENGTH and header.isascii() else []
    if len(parts) != 3 or not parts[1].isdigit():
        raise BadMessage("shape", "it is no peer id, time and signature")
    peer_id, when, signature = parts
    if abs(int(when) / 1000 - now) > CLOCK_SKEW:
        raise BadMessage("time", "it is too old, or one of the clocks is wrong")
    try:
        public, signed = public_of(peer_id), base64.b64decode(signature, validate=True)
    except ValueError as exc:
        raise BadMessage("shape", str(exc)) from exc
    if not verify(public, signed, _signed(producer, when)):
        raise BadMessage("signature")
    return peer_id


def _signed(producer: bytes, when: str) -> bytes:
    return DOMAIN + producer + when.encode("ascii")
