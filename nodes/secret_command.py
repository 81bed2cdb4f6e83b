"""`privox-node secret new`: a good secret for a private mesh."""

from pathlib import Path

import click

from privox_dht.atomic_file import create_file
from privox_dht.cli.output import say, to_stdout
from privox_dht.errors import ConfigError
from privox_dht.membership.secret_file import new_secret


@click.group()
def secret() -> None:
    """Make the secret of a private mesh."""


@secret.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def new(file: Path | None) -> None:
    """Make a secret, and write it to FILE, which only you can read then, or to stdout.

    Give the same file to every member, by a way that nobody else sees.
    """
    made = new_secret().encode() + b"\n"
    if file is None:
        to_stdout(made)
        return
    try:
        write_new(file, made)
    except ConfigError as exc:
        raise click.UsageError(str(exc)) from exc
    say(f"{file} holds a new secret; every member of the mesh needs this file")


def write_new(file: Path, made: bytes) -> None:
    """A new file, and never another one's place.

    Raises:
        ConfigError: it is there, or cannot be written.
    """
    if file.exists():
        raise ConfigError(f"{file} is there already: to make another secret, name another file")
    try:
        create_file(file, made)
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror or exc}") from exc
