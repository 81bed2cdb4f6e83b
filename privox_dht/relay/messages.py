"""The relay's protocol, byte for byte. No sockets here.

    client   -> farm      CONNECT <peer id>.privox:443 HTTP/1.1 ... CR LF CR LF
    farm     -> client    HTTP/1.1 200, from then on the producer's bytes; or an error status

    producer -> farm      CONTROL <nonce> PRIVOX/1 CR LF CR LF
    farm     -> producer  challenge <nonce> <farm's key> <signature>
    producer -> farm      prove <producer's key> <instance> <signature>
    farm     -> producer  granted <idle lines> <lines>, token <token>, ...; or refused <why> <wait>
    producer -> farm      PARK <token> PRIVOX/1 CR LF CR LF        on a connection of its own
    farm     -> producer  parked <token>, claimed <token> <caller>, token <token>, full, ...
    both                  ping

Everything is ASCII, one message a line. The two signatures prove both keys: the farm signs the
producer's nonce, the producer signs the farm's nonce *and the farm's key*, so that a hostile farm
can use neither elsewhere. `MESSAGES` lists the fields of each message; all else is refused.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.identity import Identity, public_of, verify
from privox_dht.quotas import Prefixes
from privox_dht.relay import relay_limits
from privox_dht.relay.relay_limits import FarmLimits

VERSION = "PRIVOX/1"
END = b"\r\n\r\n"
NONCE, INSTANCE, TOKEN = 32, 8, 16  # bytes
HOST_SUFFIX = ".privox:443"
FARM_DOMAIN = b"privox_dht relay farm 1\0"  # what a farm signs starts with this, and nothing else
PRODUCER_DOMAIN = b"privox_dht relay producer 1\0"  # likewise for a producer

_KEY, _SIGNATURE = "[0-9a-f]{64}", "[0-9a-f]{128}"
_NONCE, _INSTANCE, _TOKEN = "[0-9a-f]{64}", "[0-9a-f]{16}", "[0-9a-f]{32}"
_NUMBER, _WHY = "[0-9]{1,6}", "[a-z-]{1,16}"
_CALLER = r"(?:-|[0-9a-f]{12}(?:\.[0-9a-f]{12}){0,2})"  # tags of networks, the narrowest first

MESSAGES = {
    "challenge": (_NONCE, _KEY, _SIGNATURE),
    "prove": (_KEY, _INSTANCE, _SIGNATURE),
    "granted": (_NUMBER, _NUMBER),  # lines that may be parked; lines in all, calls included
    "refused": (_WHY, _NUMBER),  # why, seconds to stay away
    "token": (_TOKEN,),  # park one line with this
    "parked": (_TOKEN,),  # the line is parked
    "claimed": (_TOKEN, _CALLER),  # a call has the line, from these networks
    "gone": (_TOKEN,),  # the line failed, or the token cannot be used: grant another
    "full": (),  # no more lines until a call ends
    "draining": (_NUMBER,),  # the farm stops; calls may run for so many seconds
    "superseded": (),  # the same key parked from another machine: the newest wins
    "ping": (),  # alive
}
_LINE = {word: re.compile(" ".join((word, *fields))) for word, fields in MESSAGES.items()}

Message = tuple[str, ...]  # a word of `MESSAGES` and what it carries


@dataclass(frozen=True, slots=True)
class Connect:
    """A client asks for a producer."""

    producer: bytes  # its key


@dataclass(frozen=True, slots=True)
class Park:
    """A producer parks a line."""

    token: str


@dataclass(frozen=True, slots=True)
class Control:
    """A producer opens its control line."""

    nonce: bytes


# reason -> status, text for the client, seconds for Retry-After (0: none)
REFUSALS = {
    "head": (400, "This is not a request that a farm understands.", 0),
    "version": (400, "This farm speaks another version.", 0),
    "target": (403, "A farm calls nobody but its producers: CONNECT <peer id>.privox:443.", 0),
    "unknown": (404, "This producer is not parked here.", 0),
    "method": (405, "This is a farm: it answers CONNECT <peer id>.privox:443 only.", 0),
    "address": (429, "Too many calls from this address.", 2),
    "long": (431, "The request is too long.", 0),
    "line": (503, "No line of this producer is free just now.", 1),
    "full": (503, "This farm is full.", 5),
    "draining": (503, "This farm is about to stop.", 60),
}


def read_head(data: bytes) -> tuple[Connect | Park | Control, bytes] | None:
    """The request in the head of a new connection, and the bytes after it; None: more must be read.

    Raises:
        BadMessage: with a key of `REFUSALS`.
    """
    end = data.find(END, 0, relay_limits.HEAD)
    if end < 0:
        if len(data) >= relay_limits.HEAD:
            raise BadMessage("long")
        return None
    first = data[: data.index(b"\r\n")].split(b" ")
    if len(first) != 3:
        raise BadMessage("head")
    try:
        verb, target, version = (word.decode("ascii") for word in first)
    except UnicodeDecodeError as exc:
        raise BadMessage("head") from exc
    return _meaning(verb, target, version), data[end + len(END) :]


def _meaning(verb: str, target: str, version: str) -> Connect | Park | Control:
    if verb in ("PARK", "CONTROL"):
        if version != VERSION:
            raise BadMessage("version")
        if not re.fullmatch(_TOKEN if verb == "PARK" else _NONCE, target):
            raise BadMessage("head")
        return Park(target) if verb == "PARK" else Control(bytes.fromhex(target))
    if not version.startswith("HTTP/1."):
        raise BadMessage("head")
    if verb != "CONNECT":
        raise BadMessage("method")
    host = target.lower()
    if not host.endswith(HOST_SUFFIX):
        raise BadMessage("target")
    try:
        return Connect(public_of(host.removesuffix(HOST_SUFFIX)))
    except ValueError as exc:
        raise BadMessage("target") from exc


def park(token: str) -> bytes:
    """The head of a parked line."""
    return f"PARK {token} {VERSION}\r\n\r\n".encode()


def control(nonce: bytes) -> bytes:
    """The head of a control line."""
    return f"CONTROL {nonce.hex()} {VERSION}\r\n\r\n".encode()


def accepted(terms: FarmLimits) -> bytes:
    """The answer to a client whose call was put through: what it may carry."""
    return (
        "HTTP/1.1 200 Connection Established\r\n"
        f"Privox-Call-Bytes: {terms.call_bytes}\r\n"
        f"Privox-Call-Seconds: {terms.call_seconds}\r\n\r\n"
    ).encode()


def refusal(why: str) -> bytes:
    """The answer to a client whose call was rejected."""
    status, text, wait = REFUSALS[why]
    again = f"Retry-After: {wait}\r\n" if wait else ""
    allow = "Allow: CONNECT\r\n" if status == 405 else ""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(text) + 1}\r\n"
        f"{allow}{again}Connection: close\r\n\r\n{text}\n"
    ).encode()


def encode(message: Message) -> bytes:
    """One message as it goes over a control line."""
    line = " ".join(message)
    if not _LINE[message[0]].fullmatch(line):
        raise ValueError(f"not a message: {line!r}")
    return line.encode("ascii") + b"\n"


class MessageDecoder:
    """Decodes the messages of a control line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes.

        Raises:
            BadMessage: these are too many, or a line is too long, is no word of `MESSAGES`, or
                carries something else.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if max(map(len, (*lines, self._rest))) > limits.RELAY_LINE:
            raise BadMessage("long")
        if len(lines) > relay_limits.MESSAGES_AT_ONCE:
            raise BadMessage("flood")
        return [self._read(line) for line in lines]

    @staticmethod
    def _read(line: bytes) -> Message:
        text = line.decode("ascii", "replace")
        word, *fields = text.split(" ")
        if word not in MESSAGES:
            raise BadMessage("word", repr(word[:16]))
        if not _LINE[word].fullmatch(text):
            raise BadMessage("field", word)
        return (word, *fields)


# -- the two proofs -----------------------------------------------------------------------------


def challenge(farm: Identity, producer_nonce: bytes, farm_nonce: bytes) -> Message:
    """The farm's challenge, which proves the farm's own key too."""
    signature = farm.sign(FARM_DOMAIN + producer_nonce + farm_nonce + farm.public)
    return ("challenge", farm_nonce.hex(), farm.public.hex(), signature.hex())


def check_challenge(message: Message, producer_nonce: bytes, expected_farm: bytes) -> bytes:
    """The farm's nonce, once the farm has proved to be the expected one.

    Raises:
        BadMessage: it is another farm, or none.
    """
    if message[0] != "challenge":
        raise BadMessage("order", message[0])
    nonce, farm, signature = map(bytes.fromhex, message[1:])
    if farm != expected_farm:
        raise BadMessage("farm", "another farm answers at this address")
    if not verify(farm, signature, FARM_DOMAIN + producer_nonce + nonce + farm):
        raise BadMessage("signature", "the farm cannot prove its key")
    return nonce


def prove(
    producer: Identity, farm: bytes, farm_nonce: bytes, producer_nonce: bytes, instance: bytes
) -> Message:
    """The producer's proof that it holds its key, for this farm only."""
    signature = producer.sign(PRODUCER_DOMAIN + farm_nonce + producer_nonce + farm + instance)
    return ("prove", producer.public.hex(), instance.hex(), signature.hex())


def check_proof(
    message: Message, farm: bytes, farm_nonce: bytes, producer_nonce: bytes
) -> tuple[bytes, bytes]:
    """The producer's key and instance.

    Raises:
        BadMessage: it has not proved that key, or not to us.
    """
    if message[0] != "prove":
        raise BadMessage("order", message[0])
    key, instance, signature = map(bytes.fromhex, message[1:])
    signed = PRODUCER_DOMAIN + farm_nonce + producer_nonce + farm + instance
    if not verify(key, signature, signed):
        raise BadMessage("proof")
    return key, instance


# -- who calls ----------------------------------------------------------------------------------


def tag_caller(secret: bytes, prefixes: Prefixes) -> str:
    """The networks of a caller as hashes that only this farm can make, and only until it stops: the
    producer can tell networks apart and nothing more."""
    tags = (blake2b(prefix.encode(), digest_size=6, key=secret).hexdigest() for prefix in prefixes)
    return ".".join(tags) or "-"
