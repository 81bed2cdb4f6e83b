"""A node's identity: one Ed25519 key, from which its ids and its certificate are derived.

    key (32 bytes, public)  --base32-->  peer id   52 lower-case characters, fits a DNS label
                            --SHA-1-->   DHT id    20 bytes, as in Kademlia
                            --X.509-->   a self-signed TLS certificate, so that a client can check
                                         that the server holds the key that signed the record

The private key is in the node's state folder as `key.pem` (mode 0600, which is enforced). It is
written once, atomically, and never overwritten: without it the node has a new identity.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import logging
import os
import ssl
import stat
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from privox_dht.atomic_file import create_file
from privox_dht.errors import ConfigError

SEED = PUBLIC = 32  # bytes of a secret and of a public key
SIGNATURE = 64  # bytes
KEY_FILE = "key.pem"
OTHERS = stat.S_IRWXG | stat.S_IRWXO
CERTIFICATE_FILE = "certificate.pem"
log = logging.getLogger("privox.identity")
PEER_ID_LENGTH = 52  # 256 bits in base32, without the padding
# Only the key in a certificate matters; its dates are not checked, so it never expires
CERTIFICATE_FROM = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
CERTIFICATE_UNTIL = datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)


@functools.lru_cache(maxsize=4096)  # a job needs the ids of the same few peers many times
def peer_id_of(public: bytes) -> str:
    """The peer id of a 32-byte public key: 52 characters of lower-case unpadded base32."""
    return base64.b32encode(public).decode("ascii").rstrip("=").lower()


def public_of(peer_id: str) -> bytes:
    """The 32-byte public key that a peer id names.

    Raises:
        ValueError: it is not a peer id.
    """
    try:
        public = base64.b32decode(peer_id.upper() + "====")
    except ValueError as exc:
        raise ValueError(f"not a peer id: {peer_id[:60]!r}") from exc
    if len(peer_id) != PEER_ID_LENGTH or peer_id_of(public) != peer_id:
        raise ValueError(f"not a peer id: {peer_id[:60]!r}")
    return public


def dht_id_of(public: bytes) -> bytes:
    """The 20-byte DHT id of a public key: its SHA-1, so that a node cannot choose its id."""
    return hashlib.sha1(public, usedforsecurity=False).digest()


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` was made with the key of `public`. A node does
    this more often than anything else that takes long: libsodium takes half of OpenSSL's time."""
    if len(public) != PUBLIC or len(signature) != SIGNATURE:  # libsodium reads as many regardless
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def public_in(certificate: bytes) -> bytes | None:
    """The raw Ed25519 public key in a DER certificate; None if it holds anything else."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except Exception:  # an untrusted certificate raises many kinds of errors
        return None
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


class Identity:
    """A node's key pair, kept as bytes: the key object for TLS is made when it is needed.

    Args:
        seed: the 32 secret bytes; the same seed is the same key pair.
    """

    __slots__ = ("_secret", "dht_id", "peer_id", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = crypto_sign_seed_keypair(seed)
        self.peer_id = peer_id_of(self.public)
        self.dht_id = dht_id_of(self.public)

    def __repr__(self) -> str:
        return f"<Identity {self.peer_id[:8]}>"

    @classmethod
    def generate(cls) -> Identity:
        """A new identity in memory only, as a guest uses it."""
        return cls(os.urandom(SEED))

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """The identity in `folder`, which is created there if there is none.

        Raises:
            ConfigError: the folder cannot be used, or the file in it is not an Ed25519 key.
        """
        path = folder / KEY_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not path.exists():
                create_file(path, cls.generate()._pem())
            keep_secret(path, "private key", "this node gets a new one then")
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as exc:
            raise ConfigError(f"cannot keep a key in {folder}: {exc.strerror or exc}") from exc
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:  # TypeError: it is encrypted
            raise ConfigError(f"{path} is not a private key that can be used: {exc}") from exc
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} holds another kind of key than Ed25519")
        return cls(key.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature over `message`. Callers prefix what they sign (domain
        separation): a signature made for one purpose must mean nothing for another."""
        return crypto_sign(message, self._secret)[:SIGNATURE]

    def certificate(self) -> bytes:
        """A self-signed X.509 certificate (PEM) of this key."""
        private = self._private()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.peer_id}.privox")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(1)
            .not_valid_before(CERTIFICATE_FROM)
            .not_valid_after(CERTIFICATE_UNTIL)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(f"{self.peer_id}.privox")]), False
            )
        )
        return builder.sign(private, None).public_bytes(serialization.Encoding.PEM)

    def server_context(self) -> ssl.SSLContext:
        """A TLS 1.3 server context that answers with this identity's certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.answer_with_certificate(context)
        return context

    def answer_with_certificate(self, context: ssl.SSLContext) -> None:
        """Make `context` answer with this identity's certificate, and only in TLS 1.3."""
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with tempfile.TemporaryDirectory(prefix="privox-") as folder:  # ssl reads only from files
            key, certificate = Path(folder, KEY_FILE), Path(folder, CERTIFICATE_FILE)
            key.touch(mode=0o600)
            key.write_bytes(self._pem())
            certificate.write_bytes(self.certificate())
            context.load_cert_chain(certificate, key)

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._secret[:SEED])

    def _pem(self) -> bytes:
        return self._private().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def keep_secret(path: Path, what: str, then: str, *, insist: bool = True) -> None:
    """Make a file that other users can read unreadable for them, and warn the owner.

    Args:
        what: the content of the file, for messages.
        then: what happens once the owner has removed the file, for messages.
        insist: raise an error if the mode cannot be changed; else only warn.

    Raises:
        ConfigError: the mode cannot be changed, and `insist` is set.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name != "posix" or not mode & OTHERS:
        return
    try:
        path.chmod(mode & ~OTHERS)
    except OSError as exc:
        why = (
            f"others can read the {what} {path} (mode {mode:o}), and it cannot be changed:"
            f" {exc.strerror}; chmod 600 {path}"
        )
        if insist:
            raise ConfigError(why) from exc
        log.warning("%s", why)
        return
    log.warning(
        "others could read the %s %s (mode %o); now they cannot. If somebody may have"
        " read it, remove it: %s", what, path, mode, then,
    )  # fmt: skip


def pin_of(public: bytes) -> str:
    """`sha256//<base64 of the SHA-256 of the key's SubjectPublicKeyInfo>`, as curl pins a key."""
    info = Ed25519PublicKey.from_public_bytes(public).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "sha256//" + base64.b64encode(hashlib.sha256(info).digest()).decode("ascii")
