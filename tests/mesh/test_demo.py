"""`make demo`, as it is run by somebody who has other things on his machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")
ROOT = Path(__file__).parents[2]


MODULE = (sys.executable, "-m", "nodes.demo")


@contextmanager
def demo(home: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, for a user whose home is `home`, and who has settings of his own."""
    temp, config = home / "temp", home / ".config" / "privox"
    temp.mkdir()
    config.mkdir(parents=True)
    (config / "config.toml").write_text("this is not = = TOML")
    own = {"PRIVOX_NETWORK": "elsewhere", "PRIVOX_NEIGHBOURS": "127.0.0.1:9", "PRIVOX_SLOTS": "x"}
    places = {"HOME": str(home), "TMPDIR": str(temp), "XDG_STATE_HOME": str(home / "state")}
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **own, **places},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # make would leave the demo behind
        process.communicate()


def left_in(home: Path) -> list[str]:
    """The files there; but pip, where `make` has it install, asks rustc for its version, and rustup
    writes settings of its own then."""
    files = (path.relative_to(home) for path in home.rglob("*") if not path.is_dir())
    return sorted(str(file) for file in files if file.parts[0] != ".rustup")


@pytest.mark.timeout(120)
def test_the_demo_works_whatever_its_user_has_set_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, "make", "demo") as process:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0, output
    assert "it works" in output
    assert left_in(tmp_path) == [".config/privox/config.toml"]
    assert not any((tmp_path / "temp").iterdir())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_demo_that_is_interrupted_leaves_nothing_either(
    tmp_path: Path, how: signal.Signals
) -> None:
    with demo(tmp_path, *MODULE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "first node" in line:  # its mesh is up
                break
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 3
        process.send_signal(how)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert left_in(tmp_path) == [".config/privox/config.toml"]
    assert not any((tmp_path / "temp").iterdir())
