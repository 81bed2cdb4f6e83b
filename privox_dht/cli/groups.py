"""Error messages that name the source of a bad value, and warn of misspelled variables.

PRIVOX_SLOTS=many        -> "... 'many' is not a valid integer range (from PRIVOX_SLOTS)"
slots = "many" in a file -> "... (from the --config file)"
PRIVOX_NEIGHBOR=...      -> "PRIVOX_NEIGHBOR means nothing: PRIVOX_NEIGHBOURS does"
"""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from privox_dht.cli.output import say

MIN_SIMILARITY = 0.8  # from 0 to 1, of a misspelled name to the right one
# Variables of one program that look like one of the other's; both may run in one environment
SHARED_NAMES = frozenset({"SERVICE", "SERVICES", "FARM", "FARMS"})


class Sections(click.Command):
    """A command whose --help shows options in sections: first those without a section, then those
    of each `in_section`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for option in self.get_params(ctx):
            if (line := option.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(option, "section", "Options"), []).append(line)
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


class ExplainingGroup(Sections, click.Group):
    """A group that explains errors in values from the environment or a file."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _naming_the_source():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        for line in misspelled(os.environ, ctx.auto_envvar_prefix or "", _known(self)):
            say(line)
        with _naming_the_source():
            return super().invoke(ctx)


def misspelled(environment: Mapping[str, str], prefix: str, known: Iterable[str]) -> list[str]:
    """A line for each variable that is probably a misspelled one of ours.

    Args:
        known: names after the prefix.
    """
    names = set(known)
    lines = []
    for variable in sorted(environment):
        name = variable.removeprefix(f"{prefix}_")
        if name == variable or name in names | SHARED_NAMES:
            continue
        if meant := difflib.get_close_matches(name, names, 1, MIN_SIMILARITY):
            lines.append(f"{variable} means nothing: {prefix}_{meant[0]} does")
    return lines


def _known(group: click.Group) -> Iterator[str]:
    for command in (group, *group.commands.values()):
        for option in command.params:
            for flag in option.opts:
                yield flag.lstrip("-").upper().replace("-", "_")


@contextmanager
def _naming_the_source() -> Iterator[None]:
    """Add the source of a bad value to its error message."""
    try:
        yield
    except click.BadParameter as exc:
        if not (where := _source(exc)):
            raise
        message = f"{exc.message} (from {where})"
        raise click.BadParameter(message, exc.ctx, exc.param, exc.param_hint) from exc


def _source(exc: click.BadParameter) -> str:
    if exc.ctx is None or exc.param is None or exc.param.name is None:
        return ""
    source = exc.ctx.get_parameter_source(exc.param.name)
    if source is ParameterSource.ENVIRONMENT:
        given = exc.param.envvar or f"{exc.ctx.auto_envvar_prefix}_{exc.param.name.upper()}"
        names = [given] if isinstance(given, str) else given
        return next((name for name in names if name in os.environ), names[0])
    return "the --config file" if source is ParameterSource.DEFAULT_MAP else ""
