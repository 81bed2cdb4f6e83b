"""The secret of a private mesh: made well, read from a file, kept from others."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from nodes.cli import main
from nodes.options import config_from
from privox_dht.errors import ConfigError
from privox_dht.membership.secret_file import membership_of, new_secret, read_secret


def kept(path: Path, secret: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(secret)
    path.chmod(mode)
    return path


def test_a_new_secret_is_long_and_never_the_same(tmp_path: Path) -> None:
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    for number, secret in enumerate(made):
        path = kept(tmp_path / str(number), secret.encode() + b"\n")
        assert read_secret(path) == secret.encode()


@pytest.mark.parametrize("secret", [b"", b"\n", b"fifteen bytes..", b"  short one \n\n"])
def test_a_secret_shorter_than_sixteen_bytes_is_refused(tmp_path: Path, secret: bytes) -> None:
    with pytest.raises(ConfigError, match=r"needs at least 16; .* privox-node secret new"):
        read_secret(kept(tmp_path / "s", secret))


def test_sixteen_bytes_are_enough_and_a_film_is_too_much(tmp_path: Path) -> None:
    assert read_secret(kept(tmp_path / "s", b"sixteen bytes...\r\n")) == b"sixteen bytes..."
    with pytest.raises(ConfigError, match="not a secret"):
        read_secret(kept(tmp_path / "s", b"x" * 5000))
    with pytest.raises(ConfigError, match="cannot read the secret"):
        read_secret(tmp_path / "nothing")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_kept_from_them(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = kept(tmp_path / "s", b"a secret of a private mesh", mode)
    read_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "others could read the secret" in caplog.text


def test_the_same_file_and_name_make_the_same_mesh(tmp_path: Path) -> None:
    path = kept(tmp_path / "s", b"a secret of a private mesh")
    tags = {membership_of(path, name).tag for name in ("a", "b", "a")}  # type: ignore[union-attr]
    assert len(tags) == 2
    assert membership_of(None, "a") is None


def test_secret_new_writes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "friends.secret"
    ran = CliRunner().invoke(main, ["secret", "new", str(path)])
    assert ran.exit_code == 0, ran.output
    assert path.stat().st_mode & 0o777 == 0o600
    before = read_secret(path)
    again = CliRunner().invoke(main, ["secret", "new", str(path)])
    assert again.exit_code == 2 and "is there already" in again.output
    assert read_secret(path) == before


def test_secret_new_prints_one_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["secret", "new"])
    assert ran.exit_code == 0
    assert len(ran.stdout.splitlines()) == 1
    assert read_secret(kept(tmp_path / "s", ran.stdout.encode()))


def test_where_no_secret_can_be_written_is_said(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["secret", "new", str(tmp_path / ("x" * 300))])
    assert ran.exit_code == 2 and "cannot write" in ran.output
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "nodes.cli", "secret", "new"]
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert process.returncode == 2 and b"cannot write to stdout" in process.stderr


def test_a_node_with_a_short_secret_does_not_start(tmp_path: Path) -> None:
    path = kept(tmp_path / "s", b"too short")
    ran = CliRunner().invoke(
        main, ["--port", "0", "--state-dir", str(tmp_path / "n"), "--secret-file", str(path)]
    )
    assert ran.exit_code == 2
    assert "needs at least 16" in ran.output


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), OSError(30, "Read-only")])
def test_a_read_only_secret_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: OSError
) -> None:
    caplog.set_level(logging.WARNING)
    path = kept(tmp_path / "s", b"a secret of a private mesh", 0o444)

    def refuse(*args: object) -> None:
        raise error

    with patch.object(Path, "chmod", refuse):
        assert read_secret(path) == b"a secret of a private mesh"
    assert "cannot be changed" in caplog.text


def test_the_secret_may_stand_in_the_environment_or_in_a_file(tmp_path: Path) -> None:
    path = kept(tmp_path / "s", b"a secret of a private mesh")
    config = tmp_path / "node.toml"
    config.write_text(f'network = "friends"\nsecret-file = "{path}"\n')
    with patch.dict(os.environ, PRIVOX_SECRET_FILE=str(path), PRIVOX_NETWORK="friends"):
        by_environment = main.make_context("privox-node", [])
    by_file = main.make_context("privox-node", ["--config", str(config)])
    for context in (by_environment, by_file):
        told = config_from(context.params)
        assert (told.network, told.secret_file) == ("friends", path)
