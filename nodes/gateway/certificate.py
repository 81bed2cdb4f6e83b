"""The TLS certificate of the gateway's page: the owner's, or a self-signed one.

    names, addresses -> a self-signed ECDSA P-256 certificate, stored in the state folder
    stored one       -> used while it is valid for the current names of this machine; a new one
                        has its names, too, so that an address that comes and goes costs only one

Browsers do not accept Ed25519, which nodes use among themselves. They ask the user once whether to
trust a self-signed certificate; its fingerprint can be compared then.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.errors import ConfigError
from privox_dht.interfaces import SOMEWHERE, source_towards

FILE = "gateway-https.pem"  # the private key and the certificate
LIFETIME = timedelta(days=800)  # Apple's systems reject more than 825
RENEW_BEFORE = timedelta(days=30)  # its end
CLOCK_SKEW = timedelta(days=1)  # by which a browser's clock may be behind
MAX_NAMES = 64  # in one certificate; further addresses of the machine are left out
ANY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Names:
    """The names and addresses of this machine."""

    needed: tuple[str, ...]  # a stored certificate without one of these is replaced
    others: tuple[str, ...] = ()  # such as addresses that change often

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.needed, *self.others)))[:MAX_NAMES]


def names_of_this_machine(host: str) -> Names:
    """The names and addresses by which browsers may reach it.

    Args:
        host: the address it listens on.
    """
    if host not in ANY_ADDRESS:
        return Names(("localhost", host) if ipaddress.ip_address(host).is_loopback else (host,))
    name = socket.gethostname()
    name = name if name.isascii() and name else "localhost"
    local = () if "." in name or name == "localhost" else (f"{name}.local",)
    towards = [found for ip in SOMEWHERE if (found := source_towards(ip))]
    stable = [ip for ip in towards if ":" not in ip]  # IPv6 addresses may change every day
    return Names(
        ("localhost", name, *local, "127.0.0.1", *stable), ("::1", *towards, *_addresses())
    )


def _addresses() -> list[str]:
    """All addresses of this machine but link-local ones; none without `ifaddr`."""
    try:
        import ifaddr
    except ImportError:
        return []
    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    flat = [ip if isinstance(ip, str) else ip[0] for ip in found]
    return [ip for ip in flat if not ipaddress.ip_address(ip).is_link_local]


def make_certificate(names: Sequence[str], now: datetime) -> bytes:
    """A private key and a certificate for it, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "privox gateway")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now - CLOCK_SKEW + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def is_valid(pem: bytes, needed: Iterable[str], now: datetime) -> bool:
    """Whether a stored certificate has these names, and time left."""
    has = names_in(pem)
    if not has or not set(map(_general_name, needed)) <= set(map(_general_name, has)):
        return False
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc - now > RENEW_BEFORE


def names_in(pem: bytes) -> list[str]:
    """The names and addresses of a stored certificate; none if it is damaged."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return []
    return [str(name.value) for name in san.value]


def stored_certificate(folder: Path, names: Names) -> Path:
    """The file with the certificate in this folder, made now if there is no valid one.

    Raises:
        ConfigError: it cannot be written.
    """
    path, now = folder / FILE, datetime.now(UTC)
    try:
        stored = path.read_bytes() if path.exists() else b""
        if not is_valid(stored, names.needed, now):
            all_names = Names((*names.needed, *names_in(stored)), names.others).all
            replace_file(path, make_certificate(all_names, now), mode=SECRET)
    except OSError as exc:
        raise ConfigError(f"cannot keep {path}: {exc.strerror or exc}") from exc
    return path


def tls_context(certificate: Path, private_key: Path) -> ssl.SSLContext:
    """The TLS context of a server for browsers.

    Raises:
        ConfigError: the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, private_key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    """Use these files, as they are now, for new connections.

    Raises:
        ConfigError: they cannot be used.
    """

    def no_password() -> str:
        raise ConfigError(f"--private-key {private_key} has a password: give one without")

    try:
        context.load_cert_chain(certificate, private_key, no_password)
    except OSError as exc:  # ssl.SSLError is one
        why = exc.strerror if not isinstance(exc, ssl.SSLError) else exc.reason or exc
        raise ConfigError(
            f"--certificate {certificate} with --private-key {private_key}: {why}; both are"
            " PEM files, of the same key"
        ) from exc


def fingerprint_of(certificate: Path) -> str:
    """SHA-256 of the first certificate in a PEM file, as browsers show it.

    Raises:
        ConfigError: it holds none.
    """
    try:
        first = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read --certificate {certificate}: {exc}") from exc
    return first.fingerprint(hashes.SHA256()).hex(":").upper()
