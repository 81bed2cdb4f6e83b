"""Keys of a private mesh: one for each purpose, and nothing that another secret or name opens."""

from dataclasses import astuple

import pytest

from privox_dht.errors import BadMessage
from privox_dht.membership import keys
from privox_dht.membership.keys import NetworkKeys

SECRET = b"sixteen bytes or more"


def all_of(network_keys: NetworkKeys) -> list[bytes]:
    return list(astuple(network_keys))


def test_each_purpose_has_a_key_of_its_own() -> None:
    ours = all_of(NetworkKeys.of(SECRET, "friends"))
    assert len(set(ours)) == 7
    assert {len(key) for key in ours} == {keys.KEY}


def test_the_same_secret_and_name_are_the_same_mesh_for_everybody() -> None:
    assert all_of(NetworkKeys.of(SECRET, "friends")) == all_of(NetworkKeys.of(SECRET, "friends"))


@pytest.mark.parametrize(("secret", "network"), [(SECRET, "others"), (SECRET + b".", "friends")])
def test_another_secret_or_another_name_shares_no_key(secret: bytes, network: str) -> None:
    theirs = all_of(NetworkKeys.of(secret, network))
    assert not set(all_of(NetworkKeys.of(SECRET, "friends"))) & set(theirs)


def test_keys_are_derived_as_they_always_were() -> None:
    """Members of different versions are in one mesh only if this stays."""
    ours = NetworkKeys.of(b"0123456789abcdef", "friends")
    assert ours.mesh[:8].hex() == "9f62cfec885ca855"
    assert ours.datagram[:8].hex() == "fd467fedecaf8665"


def test_what_is_sealed_can_be_opened_with_its_context_only() -> None:
    key = NetworkKeys.of(SECRET, "friends").hello
    sealed = keys.seal(key, b"text", b"context")
    assert len(sealed) == keys.NONCE + 4 + keys.SEAL
    assert keys.unseal(key, sealed, b"context") == b"text"
    for wrong in (sealed[:-1], sealed + b"x", b"", bytes(len(sealed)), sealed[1:] + sealed[:1]):
        with pytest.raises(BadMessage, match="stranger"):
            keys.unseal(key, wrong, b"context")
    with pytest.raises(BadMessage, match="stranger"):
        keys.unseal(key, sealed, b"another")
    with pytest.raises(BadMessage, match="stranger"):
        keys.unseal(NetworkKeys.of(SECRET, "others").hello, sealed, b"context")


def test_the_same_text_is_never_sealed_to_the_same_bytes() -> None:
    key = NetworkKeys.of(SECRET, "friends").hello
    assert len({keys.seal(key, b"text") for _ in range(100)}) == 100


def test_keys_are_not_shown() -> None:
    assert repr(NetworkKeys.of(SECRET, "friends")) == "<NetworkKeys>"
