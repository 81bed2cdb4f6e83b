"""Which gateway the options of a node ask for, and which of them mean nothing without others."""

from pathlib import Path
from typing import Any

import pytest

from nodes.gateway.options import gateway_from
from privox_dht.errors import ConfigError

NOTHING: dict[str, Any] = {
    "gateway": "", "keys": None, "open": False, "allow": (), "keyless_seconds": 3600,
    "identify": False, "gateway_https": "", "certificate": None, "private_key": None,
    "privox_ports": (), "wyoming": "",
}  # fmt: skip
ASKED = {**NOTHING, "gateway": "127.0.0.1:0"}


def test_no_gateway_is_asked_for_by_nothing(tmp_path: Path) -> None:
    assert gateway_from(NOTHING, tmp_path) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("wyoming", "10300"), ("allow", ("10.0.0.0/8",)), ("keys", Path("keys.txt")),
        ("open", True), ("identify", True), ("gateway_https", "5601"),
        ("privox_ports", ("1776", "1777")), ("certificate", Path("chain.pem")),
        ("private_key", Path("key.pem")),
    ],
)  # fmt: skip
def test_what_is_for_a_gateway_needs_one(tmp_path: Path, option: str, value: object) -> None:
    flag = option.replace("_", "-")
    with pytest.raises(ConfigError, match=f"--{flag} is for a gateway: give --gateway as well"):
        gateway_from({**NOTHING, option: value}, tmp_path)


@pytest.mark.parametrize("option", ["certificate", "private_key"])
def test_a_certificate_is_for_https(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match="are for --gateway-https: give it, too"):
        gateway_from({**ASKED, option: tmp_path / "file.pem"}, tmp_path)


def test_a_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    asked = {**ASKED, "gateway_https": "127.0.0.1:0", "private_key": tmp_path / "key.pem"}
    with pytest.raises(ConfigError, match="is the key of a --certificate: give that, too"):
        gateway_from(asked, tmp_path)


def test_each_listener_is_where_it_is_asked_for(tmp_path: Path) -> None:
    asked = {
        **ASKED, "identify": True, "gateway_https": "127.0.0.1:5601", "wyoming": "127.0.0.1:10300",
        "privox_ports": ("1776", "1777"),
    }  # fmt: skip
    gateway = gateway_from(asked, tmp_path)
    assert gateway is not None
    assert (gateway.host, gateway.port, gateway.identify) == ("127.0.0.1", 0, True)
    assert gateway.https is not None and gateway.https.port == 5601
    assert gateway.wyoming is not None and gateway.wyoming.port == 10300
    assert gateway.privox_ports == (1776, 1777)
