"""The options of the client, wherever they are given, and what its errors look like."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import client.cli
import client.speak
import client.transcribe
import nodes.cli
from client.options import ServiceOption
from privox_dht.cli.output import TextFormatter, sanitize

STT = ("--service", "stt", "--file", "x.wav")
TTS = ("--service", "tts", "--text", "hello", "-o", "x.wav")
JOB = ("--service", "tts", "--text", "hello", "--output", "x.wav")


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(client.cli.main, arguments, env=env or {})


def long_options(command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    """(long flag, option) of all options that take part in this."""
    for option in command.params:
        for flag in option.opts:
            if flag.startswith("--") and option.name not in ("config", "version", "neighbors"):
                yield flag, option


COMMANDS = {
    "client": client.cli.main,
    "list": client.cli.list_command,
    "voices": client.cli.voices_command,
    "node": nodes.cli.main,
    "doctor": nodes.cli.doctor,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_variable_by_the_name_of_its_flag(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` and `--format` had variables by the names of their Python arguments."""
    command = COMMANDS[name]
    settings = {**client.cli.main.context_settings, **command.context_settings}
    context = click.Context(command, auto_envvar_prefix=settings["auto_envvar_prefix"])
    for flag, option in long_options(command):
        if flag != "--neighbors":
            variable = "PRIVOX_" + flag.strip("-").upper().replace("-", "_")
            monkeypatch.setenv(variable, "1")
            assert option.resolve_envvar_value(context) == "1", variable


def test_one_file_speaks_to_a_program_and_its_subcommands(
    told: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "client.toml"
    file.write_text('neighbours = ["a:1"]\nservice = "tts"\ntext = "x"\nvoice = "v"\nlimit = 3\n')
    for where in (("--config", str(file), "list"), ("list", "--config", str(file))):
        told.clear()
        assert run(*where).exit_code == 0
        assert (told["neighbours"], told["limit"]) == (("a:1",), 3)
    assert run("--config", str(file), "-o", "x.wav").exit_code == 0
    assert told["voice"] == "v"


def test_names_with_spaces_can_stand_in_a_file_and_in_the_environment(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.transcribe.prepare", client.speak.prepare)
    file = tmp_path / "client.toml"
    for text, names in (('"my talk.ogg"', ["my talk.ogg"]), ('["a b", "c"]', ["a b", "c"])):
        file.write_text(f'service = "stt"\nfile = {text}\n')
        assert run("--config", str(file)).exit_code == 0
        assert list(told["recordings"]) == names
    assert run("--service", "stt", env={"PRIVOX_FILE": "my talk.ogg:c"}).exit_code == 0
    assert list(told["recordings"]) == ["my talk.ogg", "c"]


def test_an_option_counts_by_how_it_was_given_and_not_where(
    told: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "client.toml"
    file.write_text('neighbours = ["file:1"]\n')
    before = ("--neighbours", "flag:1", "list", "--config", str(file))
    assert run(*before).exit_code == 0
    assert told["neighbours"] == ("flag:1",)
    assert run("list", "--config", str(file), env={"PRIVOX_NEIGHBOURS": "env:1"}).exit_code == 0
    assert told["neighbours"] == ("env:1",)
    assert run("--neighbours", "outer:1", "list", "--neighbours", "inner:1").exit_code == 0
    assert told["neighbours"] == ("inner:1",)
    assert run("list", env={"PRIVOX_LIMIT": "7"}).exit_code == 0
    assert told["limit"] == 7


def test_an_option_that_there_is_not_is_named_with_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text("colour = 1\n")
    ran = run("--config", str(file))
    assert ran.exit_code == 2
    assert "no option 'colour'" in ran.output
    assert "via-farm" in ran.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--json",), 2),
        (("--json", "--nonsense"), 2),
        (("--json", "--service", "tts"), 2),
        (("--json", "--service", "tts", "--text", " ", "-o", "x.wav"), 6),
        (("--json", "--service", "stt", "--file", "/none"), 6),
        (("--json", *JOB, "--neighbours", "a:b"), 2),
        (("--json", *JOB, "--fallback", "nonsense"), 2),
        (("list", "--json", "--limit", "0"), 2),
    ],
)
def test_every_error_is_json_on_stdout_where_that_is_asked_for(
    arguments: Sequence[str], code: int, tmp_path: Path
) -> None:
    ran = run(*arguments, env={"PRIVOX_STATE_DIR": str(tmp_path)})
    assert ran.exit_code == code, ran.output
    said = json.loads(ran.stdout)
    assert (said["exit_code"], set(said)) == (code, {"error", "message", "attempts", "exit_code"})
    assert said["message"] in ran.stderr


def test_an_error_does_not_go_where_the_sound_was_to_go(tmp_path: Path) -> None:
    ran = run("--service", "tts", "--text", " ", "-o", "-", "--json")
    assert ran.stdout == ""
    assert '"exit_code": 6' in ran.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, grüße, 語, \U0001f600\n\ttab", "plain, grüße, 語, \U0001f600\n\ttab"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("\x9b31m \x07 \r \x7f", "\ufffd31m \ufffd \ufffd \ufffd"),
        ("turned \u202e round", "turned \ufffd round"),
        ("half \ud800", "half \ufffd"),
        ("a joiner,\u200c as Persian has it", "a joiner,\u200c as Persian has it"),
    ],
)
def test_strangers_words_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert sanitize(text) == shown


def test_strangers_words_cannot_make_a_log_line_of_their_own() -> None:
    record = logging.LogRecord("x", 20, "", 0, "farm says %s", ("a\n12:00 \x1b[31mERROR",), None)
    assert TextFormatter("%(message)s").format(record) == "farm says a 12:00 \ufffd[31mERROR"


def test_ctrl_c_while_stdin_is_read_ends_the_client_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """stdin is read before the event loop runs, whose handler would swallow the first Ctrl-C."""

    class Typing:
        def read(self, most: int) -> None:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            raise KeyboardInterrupt

    monkeypatch.setattr("client.files._stdin", Typing)
    for job in (("--service", "tts", "--text", "-"), ("--service", "stt", "--file", "-")):
        ran = run(*job, "--json", "-o", str(tmp_path / "out"))
        assert ran.exit_code == json.loads(ran.stdout)["exit_code"] == 130


def test_how_a_recording_is_scattered_can_stand_in_a_file_and_in_the_environment(
    told: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('scatter = "private"\nshare = 0.1\njobs = 4\nprompt = "Privox"\n')
    job = ("--service", "stt", "--file", "x.wav")
    run(*job, "--config", str(config))
    assert (told["scatter"], told["share"], told["jobs"]) == ("private", 0.1, 4)
    assert told["prompt"] == "Privox"
    run(*job, env={"PRIVOX_SCATTER": "never"})
    assert told["scatter"] == "never"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*STT, "--text", "hello"), "--text is for --service tts, not for stt"),
        ((*STT, "--voice", "v"), "--voice is for --service tts"),
        ((*STT, "--speed", "2"), "--speed is for --service tts"),
        ((*TTS, "--file", "x.wav"), "--file is for --service stt, not for tts"),
        ((*TTS, "--translate"), "--translate is for --service stt"),
        ((*TTS, "--words"), "--words is for --service stt"),
        ((*STT, "--line-width", "30"), "--line-width is for captions"),
        ((*TTS, "--line-count", "1"), "--line-count is for --service stt"),
        ((*STT, "--play"), "--play is for --service tts"),
        ((*STT, "--words"), "--words are shown by --format json and by --json only"),
        ((*STT, "--words", "--format", "srt"), "--words are shown by"),
        ((*STT, "--words", "-o", "x.srt"), "--words are shown by"),
        ((*STT, "--json", "--format", "srt"), "give --output FILE for the srt"),
        ((*STT, "--json", "--format", "srt", "-o", "-"), "give --output FILE for the srt"),
        ((*STT, "--share", "0.5"), "--share is for --scatter private"),
        ((*STT, "--scatter", "never", "--jobs", "2"), "--jobs is of no use with --scatter never"),
        ((*TTS, "--scatter", "never"), "--scatter is for --service stt"),
        ((*TTS, "--fallback-token-file", __file__), "of no use without --fallback"),
        ((*TTS, "--fallback-token", "s3cret"), "every user of this machine can see"),
        (("--service", "stt", "list"), "--service is of no use to `list`"),
        (("--voice", "v", "list"), "--voice is of no use to `list`"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    told: dict[str, Any], arguments: Sequence[str], said: str
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert said in " ".join(ran.output.split())
    assert not told


@pytest.mark.parametrize(
    "arguments",
    [
        (*STT, "--words", "--json"),
        (*STT, "--line-width", "30", "-o", "x.srt"),
        (*STT, "--line-count", "1", "--format", "vtt"),
        (*STT, "--words", "--format", "json"),
        (*STT, "--words", "-o", "x.json"),
        (*STT, "--json", "--format", "srt", "-o", "x.srt"),
        (*TTS, "--json", "--format", "wav"),
        ("--neighbours", "a:1", "--json", "list"),
    ],
)
def test_an_option_that_does_something_is_taken(
    told: dict[str, Any], arguments: Sequence[str]
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 0, ran.output
    assert told


def test_the_environment_and_a_file_may_hold_options_of_both_services(
    told: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "client.toml"
    file.write_text('voice = "v"\nfile = "x.wav"\nwords = true\n')
    for job in (STT, TTS):
        ran = run("--config", str(file), *job, env={"PRIVOX_SPEED": "2", "PRIVOX_TRANSLATE": "1"})
        assert ran.exit_code == 0, ran.output
    assert run("list", env={"PRIVOX_VOICE": "v"}).exit_code == 0


def test_every_option_whose_help_names_one_service_is_refused_for_the_other() -> None:
    for option in client.cli.main.params:
        help = option.help or "" if isinstance(option, click.Option) else ""
        if help.startswith(("stt", "tts")) and not ("stt:" in help and "tts:" in help):
            assert isinstance(option, ServiceOption), option.name


def test_a_mistake_of_this_kind_is_json_where_json_is_asked_for(told: dict[str, Any]) -> None:
    ran = run("--json", *STT, "--voice", "v")
    assert json.loads(ran.stdout)["exit_code"] == 2


def test_who_never_scatters_recordings_may_say_how_many_passages_of_a_text_are_spoken_at_a_time(
    told: dict[str, Any],
) -> None:
    ran = run(*TTS, "--jobs", "2", env={"PRIVOX_SCATTER": "never"})
    assert (ran.exit_code, told["jobs"]) == (0, 2), ran.output


@pytest.mark.parametrize("yes", ["1", "true", "on", "Y"])
def test_whatever_asks_for_json_in_the_environment_gets_it_of_a_mistake_too(yes: str) -> None:
    ran = run("--nonsense", env={"PRIVOX_JSON": yes})
    assert json.loads(ran.stdout)["exit_code"] == 2
