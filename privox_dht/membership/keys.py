"""The keys of a private mesh, derived from its secret and its name. Pure.

    secret --HKDF-SHA256--> one key (32 bytes) for each of `PURPOSES`; the name is part of the
                            context, so another name, like another secret, is another mesh
    key    --XChaCha20-Poly1305--> nonce (24 bytes, at random) | text | tag (16)

A nonce of 24 bytes may be drawn at random for as long as the secret is used: all members share a
key, and nobody counts what the others have sent.
"""

import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from privox_dht.errors import BadMessage

KEY, NONCE, SEAL = 32, 24, 16  # bytes of a key, of a nonce and of what proves the key
DOMAIN = b"privox_dht private mesh 1"
PURPOSES = (
    "mesh",  # its tag, in place of a hash of the name: in records, and in the keys of the DHT
    "datagram",  # UDP
    "hello",  # the first message to a server
    "welcome",  # its answer
    "request",  # the first message to a farm
    "response",  # its answer
    "control",  # a control line; a key for each line and direction is derived from this
)


class NetworkKeys:
    """All keys of one mesh."""

    __slots__ = tuple(PURPOSES)
    mesh: bytes
    datagram: bytes
    hello: bytes
    welcome: bytes
    request: bytes
    response: bytes
    control: bytes

    def __init__(self, secret: bytes, network: str) -> None:
        for purpose in PURPOSES:
            setattr(self, purpose, derive(secret, f"{purpose}\0{network}".encode()))

    def __repr__(self) -> str:
        return "<NetworkKeys>"  # keys never appear in a log


def derive(secret: bytes, context: bytes) -> bytes:
    """A key of its own for `context`."""
    return HKDF(SHA256(), KEY, DOMAIN, context).derive(secret)


def seal(key: bytes, text: bytes, context: bytes = b"", nonce: bytes = b"") -> bytes:
    """`text` encrypted and authenticated under `key`, bound to `context` (which is not sent). A
    nonce that is given must never have been used before."""
    nonce = nonce or os.urandom(NONCE)
    sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(text, context, nonce, key)
    return nonce + sealed


def unseal(key: bytes, sealed: bytes, context: bytes = b"") -> bytes:
    """The text of a sealed message.

    Raises:
        BadMessage: it was not sealed with `key`, or for another context.
    """
    if len(sealed) < NONCE + SEAL:
        raise BadMessage("stranger", "too short")
    try:
        text: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE:], context, sealed[:NONCE], key
        )
    except CryptoError as exc:
        raise BadMessage("stranger") from exc
    return text
