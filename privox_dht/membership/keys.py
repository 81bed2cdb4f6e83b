"""The keys of a private mesh, derived from its secret and its name. Pure.

    secret --HKDF-SHA256--> one key (32 bytes) for each purpose; the name is part of the
                            context, so another name, like another secret, is another mesh
    key    --XChaCha20-Poly1305--> nonce (24 bytes, at random) | text | tag (16)

A nonce of 24 bytes may be drawn at random for as long as the secret is used: all members share a
key, and nobody counts what the others have sent.
"""

import os
from dataclasses import dataclass, fields
from typing import Self

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


@dataclass(frozen=True, slots=True, repr=False)
class NetworkKeys:
    """All keys of one mesh, one for each purpose."""

    mesh: bytes  # its tag, in place of a hash of the name: in records, and in the keys of the DHT
    datagram: bytes  # UDP
    hello: bytes  # the first message to a server
    welcome: bytes  # its answer
    request: bytes  # the first message to a farm
    response: bytes  # its answer
    control: bytes  # a control line; a key for each line and direction is derived from this

    @classmethod
    def of(cls, secret: bytes, network: str) -> Self:
        """The keys of the mesh with this secret and name."""
        purposes = (field.name for field in fields(cls))
        return cls(*(derive(secret, f"{purpose}\0{network}".encode()) for purpose in purposes))

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
