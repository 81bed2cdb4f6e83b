"""Who a node is: its key, its names, its certificate, its file."""

import hashlib
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privox_dht import identity
from privox_dht.errors import ConfigError
from privox_dht.identity import KEY_FILE, Identity, peer_id_of, public_of

ALICE = Identity(b"a" * 32)
RACERS = 4  # processes that start at the same moment in an empty folder
LOAD = (
    "import sys, pathlib; from privox_dht.identity import Identity; print('ready', flush=True);"
    "sys.stdin.readline(); print(Identity.load(pathlib.Path(sys.argv[1])).peer_id)"
)

# -- names -----------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_a_peer_id_names_one_key_and_fits_a_dns_label(public: bytes) -> None:
    peer_id = peer_id_of(public)
    assert public_of(peer_id) == public
    assert len(peer_id) == 52 < 64
    assert peer_id == peer_id.lower()
    assert peer_id.isalnum()


@given(st.text(max_size=60))
def test_no_other_text_is_a_peer_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a peer id"):
        public_of(text)


@pytest.mark.parametrize(
    "wrong",
    [
        ALICE.peer_id.upper(),
        ALICE.peer_id + "=",
        ALICE.peer_id[:-1],
        ALICE.peer_id[:-1] + "b",  # bits beyond the 256th
        "\u017f" + ALICE.peer_id[1:],  # its upper case is an S
        " " + ALICE.peer_id[1:],
    ],
)
def test_a_key_has_one_peer_id_and_no_second_way_to_write_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="not a peer id"):
        public_of(wrong)


def test_the_dht_id_is_the_hash_of_the_key() -> None:
    assert ALICE.dht_id == hashlib.sha1(ALICE.public).digest()
    assert identity.dht_id_of(ALICE.public) == ALICE.dht_id


def test_identities_show_who_they_are_and_nothing_secret() -> None:
    assert repr(ALICE) == f"<Identity {ALICE.peer_id[:8]}>"
    assert Identity(b"a" * 32).public == ALICE.public, "the same seed, the same key"
    assert Identity.generate().public != Identity.generate().public


# -- signatures ------------------------------------------------------------------------------------


def test_a_signature_holds_for_its_key_and_its_message_only() -> None:
    signature = ALICE.sign(b"word")
    bob = Identity(b"b" * 32)
    assert identity.verify(ALICE.public, signature, b"word")
    assert not identity.verify(bob.public, signature, b"word")
    assert not identity.verify(ALICE.public, signature, b"world")


@given(public=st.binary(max_size=33), signature=st.binary(max_size=65), message=st.binary())
def test_nothing_a_stranger_signs_with_raises(
    public: bytes, signature: bytes, message: bytes
) -> None:
    assert not identity.verify(public, signature, message) or len(signature) == 64


def test_who_signs_and_who_checks_agree_with_the_tls_library() -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
    assert ALICE.public == theirs.public_key().public_bytes_raw()
    assert ALICE.sign(b"word") == theirs.sign(b"word")
    theirs.public_key().verify(ALICE.sign(b"word"), b"word")


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
def test_a_key_that_would_hold_for_every_message_is_nobodys(public: bytes) -> None:
    """With such a point of small order a signature of zeros passes checks that do not look."""
    assert not identity.verify(public, public + bytes(32), b"word")
    assert not identity.verify(public, bytes(64), b"word")


# -- certificates ----------------------------------------------------------------------------------


def test_the_certificate_carries_the_key_and_its_name() -> None:
    certificate = x509.load_pem_x509_certificate(ALICE.certificate())
    assert identity.public_in(certificate.public_bytes(serialization.Encoding.DER)) == ALICE.public
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{ALICE.peer_id}.privox"]
    certificate.verify_directly_issued_by(certificate)


@given(st.binary(max_size=300))
def test_a_certificate_of_anything_else_holds_no_key(certificate: bytes) -> None:
    assert identity.public_in(certificate) is None


def test_the_pin_is_what_curl_computes() -> None:
    public = x509.load_pem_x509_certificate(ALICE.certificate()).public_key()
    info = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    openssl = subprocess.run(
        ["sh", "-c", "openssl dgst -sha256 -binary | base64"], input=info, capture_output=True
    )
    assert identity.pin_of(ALICE.public) == f"sha256//{openssl.stdout.decode().strip()}"


def greet(newest: ssl.TLSVersion) -> ssl.SSLObject:
    """A client's end of a handshake with Alice, carried by hand from one memory to the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(down, up)
    server = ALICE.server_context().wrap_bio(up, down, server_side=True)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return client


def test_a_server_shows_its_key_over_tls_1_3_and_nothing_older() -> None:
    client = greet(ssl.TLSVersion.TLSv1_3)
    assert client.version() == "TLSv1.3"
    assert identity.public_in(client.getpeercert(binary_form=True) or b"") == ALICE.public
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        greet(ssl.TLSVersion.TLSv1_2)


# -- the file --------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    first = Identity.load(folder)
    assert Identity.load(folder).public == first.public
    assert [file.name for file in folder.iterdir()] == [KEY_FILE], "no temporary file is left"


def test_nobody_else_may_read_the_key(tmp_path: Path) -> None:
    Identity.load(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state" / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o755])
def test_a_key_that_others_could_read_is_closed_to_them_with_a_warning(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    before = Identity.load(tmp_path)
    path = tmp_path / KEY_FILE
    path.chmod(mode)
    assert Identity.load(tmp_path).public == before.public
    assert stat.S_IMODE(path.stat().st_mode) == mode & 0o700
    assert f"others could read the private key {path} (mode {mode:o})" in caplog.text
    caplog.clear()
    Identity.load(tmp_path)
    assert not caplog.text


def test_a_key_that_others_can_read_for_good_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Identity.load(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigError, match=r"others can read the private key .*chmod 600"):
        Identity.load(tmp_path)


def test_processes_that_race_for_an_empty_folder_become_the_same_node(tmp_path: Path) -> None:
    line = [sys.executable, "-c", LOAD, str(tmp_path / "state")]
    racers = [
        subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    peers = {racer.communicate(timeout=20)[0] for racer in racers}
    assert len(peers) == 1
    assert [file.name for file in (tmp_path / "state").iterdir()] == [KEY_FILE]


def _encrypted() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def _rsa() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize("content", [b"", b"not a key", ALICE.certificate(), _encrypted(), _rsa()])
def test_a_file_that_is_no_key_is_said_and_never_overwritten(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=KEY_FILE):
        Identity.load(tmp_path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot keep a key"):
        Identity.load(tmp_path / "file")
