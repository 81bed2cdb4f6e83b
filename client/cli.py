"""`privox-client`: ask the mesh.

    privox-client --neighbours host:5678 --service tts --text "Good day"      audio to a file
    privox-client --neighbours host:5678 --service stt --file meeting.ogg     text to stdout
    privox-client --neighbours host:5678 list                                 who is on the mesh
    privox-client --neighbours host:5678 voices                               what --voice may name

Text goes to stdout and everything else to stderr: progress on a terminal, silence in a pipe.
"""

from __future__ import annotations

from typing import Any

import click

from client import listing, speak, transcribe
from client.checks import refuse_job_options, refuse_unused
from client.config import ClientConfig
from client.options import EXIT_CODES, common_options, job_options
from client.run import JsonErrorGroup, run_to_exit
from privox_dht import __version__
from privox_dht.cli.options import ENVIRONMENT, merge_parent_options
from privox_dht.speech import TTS

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
        refuse_job_options(context, main.commands[context.invoked_subcommand])
        context.obj = options
        return
    if not options["service"]:
        raise click.UsageError("say what is wanted: --service tts or --service stt (or `list`)")
    config = ClientConfig.from_flags(options)
    refuse_unused(context, config)
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
    """Show the peer id that producers hear with --identify; it is kept in the state folder."""
    merged = merge_parent_options(context, options)
    run_to_exit(listing.show_identity, ClientConfig.from_flags({**merged, "service": "identity"}))


if __name__ == "__main__":
    main()
