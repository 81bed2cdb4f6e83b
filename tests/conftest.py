"""For every test: what the user of this machine has set, saved or configured does not count.

PYTHONDONTWRITEBYTECODE neither: with it, each of the hundreds of processes that tests start would
compile all it imports, which takes as long again as running it.
"""

import os
import signal
import sys
import tempfile

import pytest

FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")  # where programs would look in the user's home


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of ours is imported; the programs that tests start inherit it."""
    for name in [name for name in os.environ if name.startswith("PRIVOX_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    home = tempfile.TemporaryDirectory(prefix="privox-tests-")
    config.add_cleanup(home.cleanup)
    for name in FOLDERS:
        os.environ[name] = home.name
    # A shell that starts the tests in the background ignores SIGINT, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
