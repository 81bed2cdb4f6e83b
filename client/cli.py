"""`privox-client`: ask the mesh.

    privox-client --neighbours host:5678 --service tts --text "Good day"      audio to a file
    privox-client --neighbours host:5678 --service stt --file meeting.ogg     text to stdout
    privox-client --neighbours host:5678 list                                 who is on the mesh
    privox-client --neighbours host:5678 voices                               what --voice may name

Text goes to stdout and everything else to stderr. Progress is shown on a terminal only.

An option on the command line that has no effect on this job is rejected. In the environment or a
file it is not: those may hold options of both services.
"""

import gc
from typing import Any

# No garbage collection of what is imported now: it would take a third of the start-up time.
gc.disable()

import click
from click.core import ParameterSource

from client import listing, speak, transcribe
from client.config import ClientConfig
from client.options import EXIT_CODES, ServiceOption, common_options, job_options
from client.run import JsonErrorGroup, run_to_exit
from privox_dht import __version__
from privox_dht.cli.options import ENVIRONMENT, merge_parent_options
from privox_dht.dispatch.job_options import NEVER, PRIVATE
from privox_dht.speech import STT, TTS

gc.freeze()
gc.enable()
EPILOG = "Exit codes: " + ", ".join(f"{code} {what}" for code, what in EXIT_CODES.items()) + "."


@click.group(
    cls=JsonErrorGroup,
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": ENVIRONMENT, "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="privox-client")
@common_options
@job_options
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Have speech recognised (stt) or text spoken (tts) by an idle machine of the mesh.

    \b
    privox-client --neighbours host:5678 --service tts --text "Good day"
    privox-client --neighbours host:5678 --service stt --file meeting.ogg --format srt
    privox-client --neighbours host:5678 list
    privox-client --neighbours host:5678 voices

    The producer that does the job hears the audio or reads the text; nobody between you does.
    """
    if context.invoked_subcommand is not None:
        _refuse_job_options(context, main.commands[context.invoked_subcommand])
        context.obj = options
        return
    if not options["service"]:
        raise click.UsageError("say what is wanted: --service tts or --service stt (or `list`)")
    config = ClientConfig.from_flags(options)
    _refuse_unused(context, config)
    run_to_exit(speak.prepare if config.service == TTS else transcribe.prepare, config)


@main.command("list", context_settings={"auto_envvar_prefix": ENVIRONMENT})
@common_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000),
              help="Show at most this many.")  # fmt: skip
@click.pass_context
def list_command(context: click.Context, /, limit: int, **options: Any) -> None:
    """Show who is on the mesh: service, backend, engine, what it has, idle slots, route, age."""
    merged = merge_parent_options(context, options)
    run_to_exit(
        listing.show, ClientConfig.from_flags({**merged, "limit": limit, "service": "list"})
    )


@main.command("voices", context_settings={"auto_envvar_prefix": ENVIRONMENT})
@common_options
@click.pass_context
def voices_command(context: click.Context, /, **options: Any) -> None:
    """Show what --voice may name, with its engine and the producers that have it."""
    merged = merge_parent_options(context, options)
    run_to_exit(listing.show_voices, ClientConfig.from_flags({**merged, "service": "voices"}))


@main.command("identity", context_settings={"auto_envvar_prefix": ENVIRONMENT})
@common_options
@click.pass_context
def identity_command(context: click.Context, /, **options: Any) -> None:
    """Show the peer id that --identify proves to producers; it is kept in the state folder."""
    merged = merge_parent_options(context, options)
    run_to_exit(listing.show_identity, ClientConfig.from_flags({**merged, "service": "identity"}))


def _refuse_unused(context: click.Context, config: ClientConfig) -> None:
    """
    Raises:
        click.UsageError: an option was given that has no effect on this service or format.
    """
    given = _given(context)
    service, format = config.service, config.format
    for flag, option in given.items():
        if isinstance(option, ServiceOption) and option.service != service:
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
    if service == STT and "--jobs" in given and config.transcription.scatter == NEVER:
        raise click.UsageError("--jobs is of no use with --scatter never")
    if "--fallback-token-file" in given and not config.fallback:
        raise click.UsageError("--fallback-token-file is of no use without --fallback URL")


def _refuse_job_options(context: click.Context, own: click.Command) -> None:
    """Check the options given before the name of a subcommand.

    Raises:
        click.UsageError: an option was given that the subcommand does not use.
    """
    known = {option.name for option in own.params}
    for flag, option in _given(context).items():
        if option.name not in known:
            raise click.UsageError(f"{flag} is of no use to `{own.name}`")


def _given(context: click.Context) -> dict[str, click.Parameter]:
    """The options given on the command line, by their flags."""
    return {
        option.opts[0]: option
        for option in context.command.params
        if option.name and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }


def _is_format(config: ClientConfig, *formats: str) -> bool:
    """Whether the result has one of these formats, by --format or by the output's name."""
    named = str(config.output or "").lower()
    return config.format in formats or named.endswith(tuple(f".{f}" for f in formats))


if __name__ == "__main__":
    main()
