"""What the two programs share: options, configuration files, where state lives, logging.

Every option can be given as a flag, as an environment variable (`PRIVOX_` and the flag's name), or
in a TOML file (`--config`), and counts in that order.
"""

from __future__ import annotations

import json
import logging
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

F = TypeVar("F", bound=Callable[..., Any])
ENVIRONMENT = "PRIVOX"  # the beginning of every environment variable
LEVELS = ("debug", "info", "warning", "error")


def state_folder(role: str) -> Path:
    """Where a program keeps its key and the nodes it knows, unless told otherwise."""
    return platformdirs.user_state_path("privox-dht") / role


def load_config(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Click callback of `--config`: what the file says becomes the options' defaults."""
    if path is None or context.resilient_parsing:
        return path
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise click.BadParameter(f"cannot read {path}: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise click.BadParameter(f"{path} is not TOML: {exc}") from exc
    context.default_map = {**(context.default_map or {}), **_as_defaults(context, table, path)}
    return path


def _as_defaults(context: click.Context, table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    known = {p.name: p for p in context.command.params if isinstance(p, click.Option) and p.name}
    by_flag = {flag.lstrip("-").replace("-", "_"): p for p in known.values() for flag in p.opts}
    defaults: dict[str, Any] = {}
    for name, value in table.items():
        option = by_flag.get(name.replace("-", "_"))
        if option is None or option.name is None or option.name == "config":
            names = ", ".join(sorted(k.replace("_", "-") for k in by_flag if k != "config"))
            raise click.BadParameter(f"{path}: no option {name!r}; there is: {names}")
        if isinstance(value, list) and not option.multiple:
            value = ",".join(map(str, value))
        defaults[option.name] = value
    return defaults


def config_option(command: F) -> F:
    """`--config file.toml`."""
    return click.option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=load_config,
        help="A TOML file with any of these options, by their names: neighbours = [...].",
    )(command)


def comma_list(context: click.Context, option: click.Parameter, value: Any) -> tuple[str, ...]:
    """Click callback: "a,b" (or several flags) as a tuple."""
    values = value if isinstance(value, (tuple, list)) else (value or "",)
    return tuple(part.strip() for v in values for part in str(v).split(",") if part.strip())


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of an event."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def told(event: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """`extra=` for a log line that programs wait for: its name and what it says, in --json-logs."""
    return {"fields": {"event": event, **fields}}


def set_up_logging(level: str, as_json: bool) -> None:
    """Logs go to stderr; stdout belongs to results."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if as_json else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("kademlia", "rpcudp", "asyncio", "aiohttp"):  # theirs, not our users'
        logging.getLogger(noisy).setLevel(logging.CRITICAL if level != "debug" else logging.INFO)
