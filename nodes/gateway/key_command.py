"""`privox-node key NAME`: makes a key for a gateway; the file stores only its hash."""

import re
import secrets
from pathlib import Path

import click

from nodes.gateway import gateway_limits
from nodes.gateway.api_keys import NAME, ApiKey, digest_of, parse_keys
from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.cli.options import ENVIRONMENT, config_option
from privox_dht.cli.output import to_stdout
from privox_dht.errors import ConfigError

PREFIX = "privox-"  # so that leaked keys can be recognised


@click.command(context_settings={"auto_envvar_prefix": ENVIRONMENT})
@click.argument("name")
@click.option(
    "--keys",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to add it to; created if there is none.",
)
@click.option(
    "--seconds",
    default=gateway_limits.KEY_SECONDS,
    show_default=True,
    type=click.IntRange(1, 9_999_999),
    help="Of sound that may be sent with it in an hour.",
)
@config_option
def key(name: str, keys: Path, seconds: int) -> None:
    """Make a key for apps that use the gateway, and print it.

    The file stores its hash only. A running gateway accepts it at once; to revoke a key, delete its
    line.
    """
    try:
        secret = add_key(keys, name, seconds)
    except ConfigError as exc:
        raise click.UsageError(str(exc)) from exc
    to_stdout(secret.encode() + b"\n")


def add_key(path: Path, name: str, seconds: int) -> str:
    """Make a key and add its hash to the file.

    Raises:
        ConfigError: the file cannot be read or written, or the name is malformed or taken.
    """
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"{name!r} is no name of a key: give 1 to 64 letters, digits, or . @ _ -")
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        text = f"{before.rstrip()}\n{ApiKey(name, digest_of(secret), seconds)}\n".lstrip()
        parse_keys(text)
        replace_file(path, text.encode(), mode=SECRET)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot use {path}: {exc}") from exc
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    return secret
