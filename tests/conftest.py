"""For every test: what the user of this machine has set, saved or configured does not count.

PYTHONDONTWRITEBYTECODE neither: with it, each of the hundreds of processes that tests start would
compile all it imports, which takes as long again as running it.
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator

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


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A program that a test runs in this process sets up the root logger, for itself alone."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
