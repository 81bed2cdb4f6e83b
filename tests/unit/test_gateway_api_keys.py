"""Keys of a gateway."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from nodes.cli import main
from nodes.gateway.access import KeyFile
from nodes.gateway.api_keys import ApiKey, KeyRing, digest_of, parse_keys
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
        (f"{ANNA}\n{ANNA}", "line 2: the name anna is there twice"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_keys(text)


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
    assert (again.exit_code, "is there twice" in again.output) == (2, True)
    blank = CliRunner().invoke(main, ["key", "my phone", "--keys", str(path)])
    assert blank.exit_code == 2 and "'my phone' is no name of a key: give" in blank.output
    path.write_text("# taken back\n")
    assert file.ring.find(first) is None
    path.write_text("nonsense")
    assert file.ring.find(first) is None
