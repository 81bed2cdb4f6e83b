"""The options of `privox-client`, and what its exit codes mean."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from client.targets import formats_of
from privox_dht.caption_layout import LINE_COUNT, LINE_WIDTH
from privox_dht.cli.options import (
    ENVIRONMENT,
    combine,
    comma_list,
    config_option,
    lan_option,
    neighbours_option,
    network_options,
    not_a_flag,
)
from privox_dht.cli.output import LEVELS
from privox_dht.dispatch.job_options import DEFAULT_SPEECH, DEFAULT_TRANSCRIPTION, SCATTER
from privox_dht.dispatch.selection import ANY
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    ConfigError,
    JobError,
    NoProducer,
    NotJoined,
    PrivoxError,
    RequestRejected,
    SomeFailed,
)
from privox_dht.speech import ALIASES, SERVICES, STT, TTS

EXIT_CODES = {
    0: "done",
    2: "usage",
    3: "no node to join through",
    4: "no producer for this",
    5: "every producer tried failed",
    6: "input refused",
    7: "all busy until --wait ended",
    8: "some of several recordings failed",
    130: "interrupted",
}
_BY_ERROR: tuple[tuple[type[PrivoxError], int], ...] = (
    (ConfigError, 2), (NotJoined, 3), (NoProducer, 4), (AllProducersFailed, 5),
    (RequestRejected, 6), (AllProducersBusy, 7), (SomeFailed, 8), (JobError, 5),
)  # fmt: skip
JSON_VARIABLE = f"{ENVIRONMENT}_JSON"


def exit_code(error: PrivoxError) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), 1)


def error_as_json(error: PrivoxError) -> dict[str, Any]:
    """The JSON object of an error."""
    attempts = [attempt.as_json() for attempt in getattr(error, "attempts", ())]
    return failure_as_json(type(error).__name__, str(error), exit_code(error), attempts)


def failure_as_json(
    error: str, message: str, code: int, attempts: Sequence[Any] = ()
) -> dict[str, Any]:
    """The JSON object of a run without a result."""
    return {"error": error, "message": message, "attempts": list(attempts), "exit_code": code}


def _service(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    return ALIASES.get(value, value) if value else value


class FileNames(click.types.StringParamType):
    """Several names in one environment variable, separated as in PATH: they may have spaces."""

    envvar_list_splitter = os.pathsep


class ServiceOption(click.Option):
    """An option of one service only."""

    def __init__(self, flags: Sequence[str], *, service: str, help: str, **more: Any) -> None:
        super().__init__(flags, help=f"{service}: {help}", **more)
        self.service = service


of_stt = partial(click.option, cls=ServiceOption, service=STT)
of_tts = partial(click.option, cls=ServiceOption, service=TTS)

common_options = combine(
    neighbours_option("those known from the last time."),
    click.option(
        "--identify", is_flag=True,
        help="Prove your peer id to producers, for those that lend to chosen clients only:"
        " `privox-client identity` shows it.",
    ),
    lan_option("Join through nodes of the local network that announce themselves"),
    network_options,
    click.option(
        "--json", "as_json", is_flag=True, envvar=JSON_VARIABLE,
        help="Print one JSON object on stdout (on stderr, where stdout takes the audio).",
    ),
    click.option(
        "--join-timeout", default=5.0, show_default=True, type=click.FloatRange(0.1, 600),
        help="Seconds to wait for a neighbour to answer.",
    ),
    click.option(
        "--state-dir", type=click.Path(file_okay=False, readable=False, path_type=Path),
        help="Where the nodes met are remembered for the next time.",
    ),
    click.option(
        "--log-level", type=click.Choice(LEVELS), default="error", show_default=True,
        help="How much of what happens to tell on stderr.",
    ),
    config_option,
)  # fmt: skip

job_options = combine(
    click.option(
        "--service", type=click.Choice((*SERVICES, *ALIASES)), callback=_service,
        help="stt: speech to text (also: asr). tts: text to speech.",
    ),
    of_tts(
        "--text", metavar="TEXT|-",
        help="what to speak, a book if need be; - reads it from stdin.",
    ),
    of_tts("--text-file", metavar="FILE|-", help="a file that holds the text."),
    of_stt(
        "--file", "recordings", multiple=True, type=FileNames(), metavar="AUDIO|-",
        envvar=f"{ENVIRONMENT}_FILE",
        help="the recording, in any common format; - reads it from stdin. Several: each gets"
        " a file of its own in the folder that --output names, or a line of --json.",
    ),
    click.option(
        "--output", "-o", metavar="FILE|FOLDER/|-",
        help="tts: where the audio goes [speech.FORMAT; in a pipe without --json: -];"
        " stt: where the text goes, as it is recognised [-]; of a long recording FILE.part keeps"
        " the finished pieces until all are done: the same command goes on from it.",
    ),
    of_tts(
        "--play", is_flag=True,
        help="play it, by aplay, paplay, pw-play, afplay, ffplay, sox or the extra `play`.",
    ),
    click.option(
        "--format", "format", envvar=f"{ENVIRONMENT}_FORMAT", metavar="FORMAT",
        help=f"tts: {', '.join(formats_of(TTS))} [from --output's name, or wav];"
        f" stt: {', '.join(formats_of(STT))} [from --output's name, or text].",
    ),
    of_tts("--voice", default="", help="a voice, as `list` shows them."),
    click.option("--language", default="", help="The language, such as en or de."),
    click.option("--model", default="", help="A model or an engine, as `list` shows them."),
    of_tts(
        "--speed", default=DEFAULT_SPEECH.speed, type=click.FloatRange(0.25, 4.0),
        help="how fast [1.0].",
    ),
    of_stt("--translate", is_flag=True, help="into English."),
    of_stt(
        "--line-width", default=LINE_WIDTH, show_default=True, type=click.IntRange(10, 1000),
        help="characters of a line, in srt and vtt.",
    ),
    of_stt(
        "--line-count", default=LINE_COUNT, show_default=True, type=click.IntRange(1, 20),
        help="lines of a caption, in srt and vtt.",
    ),
    of_stt("--words", is_flag=True, help="times of words too, in JSON."),
    of_stt(
        "--scatter", type=click.Choice(SCATTER), default=DEFAULT_TRANSCRIPTION.scatter,
        show_default=True,
        help="auto: a recording of more than a minute goes in pieces to all who are idle;"
        " never: to one; private: so that nobody hears much of it (see --share).",
    ),
    of_stt(
        "--share", type=click.FloatRange(0.01, 1.0), default=DEFAULT_TRANSCRIPTION.share,
        show_default=True,
        help="with --scatter private: how much of the sound one producer may hear.",
    ),
    click.option(
        "--jobs", type=click.IntRange(1, 256), default=DEFAULT_TRANSCRIPTION.jobs,
        show_default=True, help="Of a long recording or text: at most so many pieces at a time.",
    ),
    of_stt("--prompt", default="", help="words to expect, such as names."),
    of_stt("--hotwords", default="", help="words to prefer all along, where an engine can."),
    of_stt(
        "--temperature", default=DEFAULT_TRANSCRIPTION.temperature, type=click.FloatRange(0.0, 1.0),
        help="how freely an engine may guess [0].",
    ),
    click.option(
        "--backend", type=click.Choice(("cpu", "gpu", ANY)), default=ANY, show_default=True,
        help="What the work must run on.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.1), metavar="SECONDS", help="For the whole job [none]."
    ),
    click.option(
        "--wait", type=click.FloatRange(0), default=DEFAULT_TRANSCRIPTION.wait, show_default=True,
        metavar="SECONDS",
        help="How long to go on asking while all producers are busy or do not answer.",
    ),
    click.option(
        "--only", callback=comma_list, metavar="PEER,...",
        help="Nobody but these: whole peer ids, or, where nobody cheats, how they begin.",
    ),
    click.option("--prefer", callback=comma_list, metavar="PEER,...", help="These first."),
    click.option("--avoid", callback=comma_list, metavar="PEER,...", help="Never these."),
    click.option(
        "--via-farm", is_flag=True,
        help="Through a farm even if the producer can be called directly: it does not learn your"
        " address then.",
    ),
    click.option(
        "--fallback", default="", metavar="URL",
        help="An OpenAI-style speech server to use when the mesh cannot.",
    ),
    click.option(
        "--fallback-token-file", metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file with its bearer token, if it wants one. (Or PRIVOX_FALLBACK_TOKEN in the"
        " environment.)",
    ),
    click.option("--fallback-token", default="", hidden=True, callback=not_a_flag),
)  # fmt: skip
