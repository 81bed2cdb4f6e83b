"""The fallback's token: where the client reads it, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import client.cli
from client.config import ClientConfig
from privox_dht.errors import ConfigError

TTS = ("--service", "tts", "--text", "hello", "-o", "x.wav")


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(client.cli.main, arguments, env=env or {})


def test_the_token_comes_from_a_file_or_the_environment(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr("client.config.Mesh.join", lambda *a, **how: given.append(how))
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    url = ("--fallback", "https://host")
    assert run(*TTS, *url, "--fallback-token-file", str(file)).exit_code == 0
    ClientConfig.from_flags(told).open_mesh()
    assert run(*TTS, *url, env={"PRIVOX_FALLBACK_TOKEN": "other"}).exit_code == 0
    ClientConfig.from_flags(told).open_mesh()
    assert [how["fallback_token"] for how in given] == ["s3cret", "other"]


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", b"\xff"])
def test_a_file_that_holds_no_token_is_refused(
    told: dict[str, Any], tmp_path: Path, content: bytes | str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert (
        run(*TTS, "--fallback", "https://host", "--fallback-token-file", str(file)).exit_code == 0
    )
    with pytest.raises(ConfigError, match="token"):
        ClientConfig.from_flags(told).open_mesh()
