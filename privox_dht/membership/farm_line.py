"""The relay's messages (`relay.messages`), sealed for a private mesh.

    caller -> farm    request     sealed: time, destination, a head (CONNECT, PARK or CONTROL)
    farm   -> client  response    sealed to that request: the head of an answer; then the call's
                                  bytes, which have a hello of their own, for the producer
    both              frames      on a control line: length (2), sealed message; the nonce is its
                                  number, the key belongs to this line and direction

All requests have one length, and so have all responses. An invalid request gets no answer.
"""

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.membership import keys
from privox_dht.membership.members import DESTINATION, TIME, Membership, check_destination

HEAD, ANSWER = 128, 384  # bytes of the longest head of a request, and of an answer
REQUEST = keys.NONCE + TIME + DESTINATION + HEAD + keys.SEAL
RESPONSE = keys.NONCE + ANSWER + keys.SEAL
LENGTH = 2  # bytes of a frame's length
FRAME = LENGTH + limits.RELAY_LINE + keys.SEAL  # bytes of the longest frame: one message
TO_FARM, TO_PRODUCER = b"to farm", b"to producer"


def request(member: Membership, destination: bytes, head: bytes) -> bytes:
    """The first bytes of a connection to a farm, in place of `head`."""
    if len(head) > HEAD:
        raise ValueError(f"a head of {len(head)} bytes")
    return keys.seal(member.keys.request, member.now() + destination + head.ljust(HEAD, b"\0"))


def read_request(member: Membership, sealed: bytes, public: bytes) -> bytes:
    """The head in a request to the farm with this key.

    Raises:
        BadMessage: for one of `members.REASONS`.
    """
    text = keys.unseal(member.keys.request, sealed)
    check_destination(text[TIME : TIME + DESTINATION], public, member.own)
    member.check(text[:TIME], sealed[: keys.NONCE])
    return text[TIME + DESTINATION :].rstrip(b"\0")


def response(member: Membership, request: bytes, head: bytes) -> bytes:
    """The answer to a request."""
    if len(head) > ANSWER:
        raise ValueError(f"an answer of {len(head)} bytes")
    return keys.seal(member.keys.response, head.ljust(ANSWER, b"\0"), request)


def read_response(member: Membership, request: bytes, sealed: bytes) -> bytes:
    """The head of the answer to our request.

    Raises:
        BadMessage: no member made it, or not to that request.
    """
    return keys.unseal(member.keys.response, sealed, request).rstrip(b"\0")


class SealedLine:
    """One end of a control line, after its request."""

    __slots__ = ("_read_key", "_received", "_sent", "_unread", "_write_key")

    def __init__(self, member: Membership, request: bytes, *, is_farm: bool) -> None:
        to_farm, to_producer = (
            keys.derive(member.keys.control, direction + request[: keys.NONCE])
            for direction in (TO_FARM, TO_PRODUCER)
        )
        self._read_key, self._write_key = (
            (to_farm, to_producer) if is_farm else (to_producer, to_farm)
        )
        self._received = self._sent = 0  # frames
        self._unread = b""

    def seal(self, text: bytes) -> bytes:
        """The next frame to send."""
        sealed = keys.seal(self._write_key, text, nonce=_number(self._sent))[keys.NONCE :]
        self._sent += 1
        return len(sealed).to_bytes(LENGTH, "big") + sealed

    def decrypt(self, data: bytes) -> bytes:
        """The text of the frames that `data` completes.

        Raises:
            BadMessage: one of them is not the next frame of the other end.
        """
        self._unread += data
        texts = []
        while len(self._unread) >= LENGTH:
            end = LENGTH + int.from_bytes(self._unread[:LENGTH], "big")
            if end > FRAME:
                raise BadMessage("long")
            if len(self._unread) < end:
                break
            sealed, self._unread = self._unread[LENGTH:end], self._unread[end:]
            texts.append(keys.unseal(self._read_key, _number(self._received) + sealed))
            self._received += 1
        return b"".join(texts)


def _number(count: int) -> bytes:
    return count.to_bytes(keys.NONCE, "big")
