"""Says which extra installs a package that is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from privox_dht.errors import ConfigError


@contextmanager
def needed_by(what: str, extra: str) -> Iterator[None]:
    """Imports that `what` needs and `extra` installs.

    Raises:
        ConfigError: one of them is missing.
    """
    try:
        yield
    except ImportError as exc:
        raise ConfigError(
            f"{what} needs the package {exc.name}: pip install 'privox-dht[{extra}]'"
        ) from exc
