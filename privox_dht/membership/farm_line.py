"""What is said to a farm of a private mesh: the relay's own words (`relay.messages`), sealed.

    caller -> farm    request     sealed: time, whom it is for, a head (CONNECT, PARK or CONTROL)
    farm   -> client  response    sealed to that request: the head of an answer; then the call's
                                  bytes, which have a hello of their own, for the producer
    both              frames      on a control line: length (2), sealed message; each by its number,
                                  under a key for this line and this way

Requests and responses are of one length each. Whoever cannot make a request hears nothing.
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
    """One end of a control line, from behind its request on."""

    __slots__ = ("_heard", "_read_key", "_said", "_told", "_unread", "_write_key")

    def __init__(self, member: Membership, request: bytes, *, is_farm: bool) -> None:
        to_farm, to_producer = (
            keys.derive(member.keys.control, way + request[: keys.NONCE])
            for way in (TO_FARM, TO_PRODUCER)
        )
        self._read_key, self._write_key = (
            (to_farm, to_producer) if is_farm else (to_producer, to_farm)
        )
        self._heard = self._said = 0  # frames
        self._unread = b""

    def seal(self, text: bytes) -> bytes:
        """The next frame that we say."""
        sealed = keys.seal(self._write_key, text, nonce=_number(self._said))[keys.NONCE :]
        self._said += 1
        return len(sealed).to_bytes(LENGTH, "big") + sealed

    def decrypt(self, data: bytes) -> bytes:
        """The text of the frames that `data` completes.

        Raises:
            BadMessage: one of them is not what the other end said next.
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
            texts.append(keys.unseal(self._read_key, _number(self._heard) + sealed))
            self._heard += 1
        return b"".join(texts)


def _number(count: int) -> bytes:
    return count.to_bytes(keys.NONCE, "big")
