"""What the two programs share: options, configuration files, where state lives, logging.

Every option can be given as a flag, as an environment variable (`PRIVOX_` and the flag's name), or
in a TOML file (`--config`); the first of these counts.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])
ENVIRONMENT = "PRIVOX"  # the beginning of every environment variable
SOURCES = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


def state_folder(role: str) -> Path:
    """The default folder for a program's key and known nodes."""
    return platformdirs.user_state_path("privox-dht") / role


def load_config(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Click callback of `--config`: the file's values become the options' defaults."""
    if path is None or context.resilient_parsing:
        return path
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise click.BadParameter(f"cannot read {path}: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise click.BadParameter(f"{path} is not TOML: {exc}") from exc
    commands = _commands_around(context)
    known = {name for command in commands for name in _by_flag(command)}
    for name in table:
        if name.replace("-", "_") not in known:
            names = sorted(name.replace("_", "-") for name in known)
            meant = difflib.get_close_matches(name.replace("_", "-"), names, 1)
            advice = f"did you mean {meant[0]!r}?" if meant else f"there is: {', '.join(names)}"
            raise click.BadParameter(f"{path}: no option {name!r}; {advice}")
    ours = {**(context.default_map or {}), **_as_defaults(context.command, table)}
    for name, command in getattr(context.command, "commands", {}).items():
        ours[name] = _as_defaults(command, table)
    context.default_map = ours
    return path


def _commands_around(context: click.Context) -> list[click.Command]:
    """The commands whose options a file may set: this one, its subcommands and its parent."""
    above = [context.parent.command] if context.parent else []
    return [*above, context.command, *getattr(context.command, "commands", {}).values()]


def _by_flag(command: click.Command) -> dict[str, click.Option]:
    """The options that a file may set, by their long flags."""
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_eager]
    return {
        flag.removeprefix("--").replace("-", "_"): option
        for option in options
        for flag in option.opts
        if flag.startswith("--")
    }


def _as_defaults(command: click.Command, table: Mapping[str, Any]) -> dict[str, Any]:
    by_flag, defaults = _by_flag(command), {}
    for name, value in table.items():
        option = by_flag.get(name.replace("-", "_"))
        if option is not None:
            defaults[str(option.name)] = _as_flag(name, option, value)
    return defaults


def _as_flag(name: str, option: click.Option, value: Any) -> Any:
    """A value of a file in the form of the flag's value: neighbours = ["a:1", "b:2"] as "a:1,b:2",
    and the table [job-limits] with text = 100 as "text=100"."""
    is_many = option.callback is comma_list
    if option.multiple and not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    if isinstance(value, dict) and is_many and "=" in str(option.metavar):
        return ",".join(f"{key.replace('-', '_')}={number}" for key, number in value.items())
    if isinstance(value, list) and is_many and not any(isinstance(v, dict | list) for v in value):
        return ",".join(map(str, value))
    if isinstance(value, dict | list):
        what = "one value" if not is_many else "a list of texts"
        given = "a table" if isinstance(value, dict) else "a list"
        raise click.BadParameter(f"{name} takes {what}, and is {given}")
    if isinstance(value, bool) != option.is_flag:
        wanted = "true or false" if option.is_flag else "a value"
        raise click.BadParameter(f"{name} takes {wanted}, and is {json.dumps(value, default=str)}")
    return value


def merge_parent_options(context: click.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a subcommand, which may be given before its name too. A flag takes precedence
    over the environment, and that over a file."""
    outer: Mapping[str, Any] = context.obj or {}

    def precedence(where: click.Context, name: str) -> int:
        source = where.get_parameter_source(name)
        return SOURCES.index(source) if source in SOURCES else len(SOURCES)

    merged = dict(outer)
    for name, value in options.items():
        above = context.parent if name in outer else None
        if above is None or precedence(context, name) <= precedence(above, name):
            merged[name] = value
    return merged


def combine(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, in the order in which --help shows them."""

    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def in_section(title: str, options: Callable[[F], F]) -> Callable[[F], F]:
    """Options that --help shows under a title of their own; see `groups.Sections`."""

    def apply(command: F) -> F:
        known = list(getattr(command, "__click_params__", ()))
        command = options(command)
        for option in getattr(command, "__click_params__", ()):
            if option not in known:
                option.section = title
        return command

    return apply


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


network_options = combine(
    click.option(
        "--network",
        default="privox",
        show_default=True,
        metavar="NAME",
        help="The name of the mesh; meshes of different names never mix.",
    ),
    click.option(
        "--secret-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Make it a private mesh: only holders of this secret are in it, and others get no"
        " answer. To make one: privox-node secret new FILE. [public]",
    ),
)


def neighbours_option(default: str) -> Callable[[F], F]:
    """`--neighbours`, in both spellings, as a flag and in the environment."""
    return click.option(
        "--neighbours",
        "--neighbors",
        "neighbours",
        callback=comma_list,
        envvar=[f"{ENVIRONMENT}_NEIGHBOURS", f"{ENVIRONMENT}_NEIGHBORS"],
        metavar="HOST:PORT,...",
        help="Any nodes of the mesh, to join through; nobody else is asked then, but nodes met"
        f" through them before. Default: {default}",
    )


def lan_option(what: str) -> Callable[[F], F]:
    """`--lan`."""
    return click.option("--lan", is_flag=True, help=f"{what} (needs the extra `lan`).")


def not_a_flag(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Click callback of a secret: allowed in the environment or in a file only."""
    if context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE:
        flag = option.opts[0]
        variable = f"{ENVIRONMENT}{flag.removeprefix('-').upper().replace('-', '_')}"
        raise click.UsageError(
            f"every user of this machine can see {flag} on the command line: name a file that"
            f" holds it ({flag}-file), or put it into the environment ({variable})"
        )
    return value


def comma_list(context: click.Context, option: click.Parameter, value: Any) -> tuple[str, ...]:
    """Click callback: "a,b" (or several flags) as a tuple."""
    values = value if isinstance(value, (tuple, list)) else (value or "",)
    return tuple(part.strip() for v in values for part in str(v).split(",") if part.strip())


list_option = partial(click.option, callback=comma_list)
file_option = partial(click.option, type=click.Path(dir_okay=False, path_type=Path))
port_option = partial(click.option, show_default=True, type=click.IntRange(0, 65535))
