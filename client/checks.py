"""Options that would do nothing for what is asked are refused, never silently ignored.

Only what stands on the command line: a variable or a file may well hold a voice for the one service
and a recording for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from client.config import ClientConfig
from privox_dht.dispatch.job_options import NEVER, PRIVATE
from privox_dht.speech import STT


class OfService(click.Option):
    """An option of one service only."""

    def __init__(self, flags: Sequence[str], *, service: str, help: str, **more: Any) -> None:
        super().__init__(flags, help=f"{service}: {help}", **more)
        self.service = service


def refuse_unused(context: click.Context, config: ClientConfig) -> None:
    """
    Raises:
        click.UsageError: an option was given that this service, or this format, has no use for.
    """
    given = _given(context)
    service, format = config.service, config.format
    for flag, option in given.items():
        if isinstance(option, OfService) and option.service != service:
            raise click.UsageError(f"{flag} is for --service {option.service}, not for {service}")
    to_stdout = config.output in (None, "-")
    if service == STT and config.as_json and "--format" in given and to_stdout:
        raise click.UsageError(
            f"--json prints one object and no {format}: give --output FILE for the {format}, or"
            " leave one of them out"
        )
    captions = {"--line-width", "--line-count"} & given.keys()
    if captions and not _is_format(config, "srt", "vtt"):
        raise click.UsageError(f"{captions.pop()} is for captions, --format srt or vtt")
    if "--words" in given and not config.as_json and not _is_format(config, "json"):
        raise click.UsageError("--words are shown by --format json and by --json only")
    if "--share" in given and config.transcription.scatter != PRIVATE:
        raise click.UsageError("--share is for --scatter private")
    if "--jobs" in given and config.transcription.scatter == NEVER:
        raise click.UsageError("--jobs is of no use with --scatter never")
    if "--fallback-token-file" in given and not config.fallback:
        raise click.UsageError("--fallback-token-file is of no use without --fallback URL")


def refuse_job_options(context: click.Context, own: click.Command) -> None:
    """What was said before the name of a subcommand that does no job.

    Raises:
        click.UsageError: an option was given that it has no use for.
    """
    known = {option.name for option in own.params}
    for flag, option in _given(context).items():
        if option.name not in known:
            raise click.UsageError(f"{flag} is of no use to `{own.name}`")


def _given(context: click.Context) -> dict[str, click.Parameter]:
    """The options that stand on the command line, by their flags."""
    return {
        option.opts[0]: option
        for option in context.command.params
        if option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }


def _is_format(config: ClientConfig, *formats: str) -> bool:
    """Whether the result has one of these, by --format or by the output's name."""
    named = str(config.output or "").lower()
    return config.format in formats or named.endswith(tuple(f".{f}" for f in formats))
