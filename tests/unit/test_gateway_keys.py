"""Keys of a gateway, and the sound that each may bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nodes.cli import main
from nodes.gateway.access import KeyFile
from nodes.gateway.keys import ApiKey, KeyRing, SoundQuota, digest_of, parse_keys
from privox_dht.errors import ConfigError

ANNA = ApiKey("anna", digest_of("secret"), 3600)


def test_a_file_holds_hashes_and_remarks() -> None:
    text = f"# for the kitchen\n\n{ANNA}\nben {digest_of('other')} 60\n"
    keys = parse_keys(text)
    assert [(key.name, key.seconds) for key in keys] == [("anna", 3600), ("ben", 60)]
    assert "secret" not in text
    ring = KeyRing(keys)
    assert ring.find("secret") == ring.named("anna") == ANNA
    assert ring.find("") is ring.find("secret ") is ring.find("\udcff") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("anna secret 3600", "line 1 is no key"),
        (f"# x\nanna {'0' * 64}", "line 2 is no key"),
        (f"anna {'0' * 64} -1", "line 1 is no key"),
        (f"an na {'0' * 64} 1", "line 1 is no key"),
        (f"{ANNA}\n{ANNA}", "line 2: the name anna stands twice"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_keys(text)


def test_a_key_has_an_hour_of_sound_and_so_much_again_in_each_hour() -> None:
    quota = SoundQuota()
    assert quota.wait(ANNA, 0.0) == 0
    quota.charge(ANNA, 3000.0, 0.0)
    assert quota.left(ANNA, 0.0) == 600
    assert quota.left(ANNA, 300.0) == 900
    quota.charge(ANNA, 4500.0, 300.0)  # begun while there was something left
    assert quota.left(ANNA, 300.0) == -3600
    wait = quota.wait(ANNA, 300.0)
    assert wait == pytest.approx(3601, abs=2)
    assert quota.wait(ANNA, 300.0 + wait) == 0
    assert quota.left(ANNA, 1e9) == 3600, "no more than an hour's is saved up"


def test_keys_do_not_share() -> None:
    quota, ben = SoundQuota(), ApiKey("ben", digest_of("x"), 60)
    quota.charge(ANNA, 9999.0, 0.0)
    assert quota.wait(ben, 0.0) == 0
    quota.charge(ben, 61.0, 0.0)
    assert quota.wait(ben, 0.0) == pytest.approx(120, abs=2)


def test_only_so_many_addresses_are_remembered_and_the_thriftiest_are_forgotten() -> None:
    quota = SoundQuota(most=2)
    for name, seconds in (("greedy", 50.0), ("modest", 1.0), ("middling", 20.0)):
        quota.charge(ApiKey(name, "", 60), seconds, 0.0)
    assert len(quota) == 2
    assert quota.left(ApiKey("greedy", "", 60), 0.0) == 10
    assert quota.left(ApiKey("modest", "", 60), 0.0) == 60


def test_a_key_is_made_shown_once_and_good_at_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    told = CliRunner().invoke(main, ["key", "anna", "--keys", str(path)])
    assert told.exit_code == 0, told.output
    file = KeyFile(path)
    first = told.output.strip()
    assert file.ring.find(first) is not None
    assert first not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0, "for its owner's eyes"
    told = CliRunner().invoke(main, ["key", "ben", "--keys", str(path), "--seconds", "60"])
    ben = file.ring.find(told.output.strip())
    assert ben is not None and ben.seconds == 60
    again = CliRunner().invoke(main, ["key", "ben", "--keys", str(path)])
    assert (again.exit_code, "stands twice" in again.output) == (2, True)
    path.write_text("# taken back\n")
    assert file.ring.find(first) is None
    path.write_text("nonsense")
    assert file.ring.find(first) is None
