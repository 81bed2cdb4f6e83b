"""`privox-node secret new`: a good secret for a private mesh."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from nodes.program import print_lines
from privox_dht.atomic_file import create_file
from privox_dht.cli.output import say
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
    print_lines(_new(file))


def _new(file: Path | None) -> Iterator[str]:
    made = new_secret()
    if file is None:
        yield made
        return
    if os.path.lexists(file):  # Path.exists raises if that is forbidden
        raise ConfigError(f"{file} is there already: to make another secret, name another file")
    try:
        create_file(file, made.encode() + b"\n")
    except OSError as exc:
        raise ConfigError(f"cannot write {file}: {exc.strerror or exc}") from exc
    say(f"{file} holds a new secret; every member of the mesh needs this file")
