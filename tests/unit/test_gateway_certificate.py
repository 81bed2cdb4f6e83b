"""The certificate that the gateway makes for browsers: what it says, and how long it is kept."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from nodes.gateway.certificate import (
    CLOCK_SKEW,
    LIFETIME,
    RENEW_BEFORE,
    Names,
    fingerprint_of,
    is_valid,
    make_certificate,
    names_of_this_machine,
    stored_certificate,
    tls_context,
)
from nodes.gateway.config import GatewayConfig, parse_https
from privox_dht.errors import ConfigError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
NAMES = ("gateway.lan", "192.0.2.7", "2001:db8::7")


def test_it_is_of_a_kind_that_browsers_take() -> None:
    pem = make_certificate(NAMES, NOW)
    certificate, key = x509.load_pem_x509_certificate(pem), load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1"
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["gateway.lan"]
    assert list(map(str, san.get_values_for_type(x509.IPAddress))) == ["192.0.2.7", "2001:db8::7"]


def test_it_is_good_for_its_names_until_a_month_before_its_end() -> None:
    pem = make_certificate(NAMES, NOW)
    assert is_valid(pem, NAMES, NOW)
    assert is_valid(pem, ["gateway.lan"], NOW)
    assert not is_valid(pem, ["other.lan"], NOW)
    assert not is_valid(pem, ["192.0.2.8"], NOW)
    end = NOW - CLOCK_SKEW + LIFETIME
    assert is_valid(pem, NAMES, end - RENEW_BEFORE - timedelta(seconds=1))
    assert not is_valid(pem, NAMES, end - RENEW_BEFORE)
    assert not is_valid(b"no certificate", [], NOW)


def test_it_is_kept_for_nobody_else_to_read_and_made_anew_when_this_machine_is_renamed(
    tmp_path: Path,
) -> None:
    path = stored_certificate(tmp_path, Names(("old.lan",), ("192.0.2.7",)))
    first = fingerprint_of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert fingerprint_of(stored_certificate(tmp_path, Names(("old.lan",)))) == first
    assert fingerprint_of(stored_certificate(tmp_path, Names(("new.lan",)))) != first
    tls_context(path, path)


def test_another_address_that_changes_often_makes_no_new_one(tmp_path: Path) -> None:
    first = stored_certificate(tmp_path, Names(("a.lan",), ("2001:db8::1",))).read_bytes()
    assert stored_certificate(tmp_path, Names(("a.lan",), ("2001:db8::2",))).read_bytes() == first


def test_an_address_that_comes_and_goes_makes_one_new_certificate_and_not_one_each_time(
    tmp_path: Path,
) -> None:
    at_home, by_vpn = Names(("a.lan", "192.0.2.7")), Names(("a.lan", "198.51.100.7"))
    stored_certificate(tmp_path, at_home)
    both = fingerprint_of(stored_certificate(tmp_path, by_vpn))
    assert fingerprint_of(stored_certificate(tmp_path, at_home)) == both
    assert fingerprint_of(stored_certificate(tmp_path, by_vpn)) == both


def test_this_machine_is_called_localhost_too() -> None:
    everywhere = names_of_this_machine("0.0.0.0")
    assert {"localhost", "127.0.0.1", "::1"} <= set(everywhere.all)
    assert names_of_this_machine("127.0.0.1").all == ("localhost", "127.0.0.1")
    assert names_of_this_machine("192.0.2.7").all == ("192.0.2.7",)
    make_certificate(everywhere.all, NOW)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    good, other = tmp_path / "good.pem", tmp_path / "other.pem"
    good.write_bytes(make_certificate(NAMES, NOW))
    other.write_bytes(make_certificate(NAMES, NOW))
    with pytest.raises(ConfigError, match=r"none\.pem"):
        tls_context(tmp_path / "none.pem", good)
    with pytest.raises(ConfigError, match=r"good.pem with --private-key .*other.pem"):
        tls_context(good, other)
    with pytest.raises(ConfigError, match="cannot read --certificate"):
        fingerprint_of(tmp_path / "none.pem")


def test_others_reach_it_with_a_key_of_the_gateways_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--gateway-https 0\.0\.0\.0.*--keys"):
        parse_https("0.0.0.0:5601", GatewayConfig(), tmp_path, None, None)
    there = parse_https("0.0.0.0", GatewayConfig(is_open=True), tmp_path, None, None)
    assert (there.host, there.port) == ("0.0.0.0", 5601)
    assert parse_https("5700", GatewayConfig(), tmp_path, None, None).host == "127.0.0.1"
