"""The demo: a whole mesh on this machine, which speaks a sentence and transcribes it again.

    first node        all others join through it; it is a farm too
    STT producer      transcribes; clients reach it directly
    TTS producer      speaks; as if behind a NAT, clients reach it only through the farm
    privox-client     text -> speech.wav        (by any producer that speaks)
    privox-client     speech.wav -> text        (by any producer that transcribes)

Separate processes, real sockets, loopback only. Only the WAV file passes between the two client
runs. Exit code 0 only if it worked. Your own settings (PRIVOX_...) are ignored, and no process and
no file is left at the end.
"""

import difflib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from privox_dht.cli.options import ENVIRONMENT

SENTENCE = "we will meet at the station at half past seven"
START_TIMEOUT = 60.0  # seconds for one node to start; loading an engine takes most of it
JOB_TIMEOUT = 60.0  # seconds for one client run
STOP_TIMEOUT = 10.0  # seconds for a node to end after SIGTERM
GOOD_ENOUGH = 0.5  # share of right words below which the demo has failed
VOICE = "pico" if importlib.util.find_spec("py_nanotts") else "espeak-ng"  # of `embedded`, the best
ROLES = {
    "first node": ["--farm", "--relay-port", "0"],
    "STT producer": ["--services", "stt/cpu/pocketsphinx"],
    "TTS producer": ["--services", f"tts/cpu/{VOICE}", "--reachable", "no"],
}


class RunningNode:
    """One `privox-node` process, its log read line by line."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name = name
        command = [sys.executable, "-m", "nodes.cli", "--json-logs", "--port", "0"]
        command += ["--host", "127.0.0.1", "--state-dir", str(folder), *arguments]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=plain_environment()
        )
        self.events: dict[str, dict[str, Any]] = {}
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, event: str, within: float = START_TIMEOUT) -> dict[str, Any]:
        """The fields of the node's first event of this name."""
        with self.changed:
            arrived = self.changed.wait_for(
                lambda: event in self.events or self.process.poll() is not None, within
            )
        if not arrived or event not in self.events:
            log = "\n".join(self.lines[-12:])
            ended = self.process.poll()
            state = f"not {event} after {within:.0f} s" if ended is None else f"gone ({ended})"
            raise click.ClickException(f"the {self.name} is {state}\n{log}")
        return self.events[event]

    def stop(self) -> None:
        """Terminate it; kill it if that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(STOP_TIMEOUT)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip())
                try:
                    fields = json.loads(line)
                except ValueError:
                    continue
                if "event" in fields:
                    self.events.setdefault(fields["event"], fields)
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()


def plain_environment() -> dict[str, str]:
    """This process's environment without privox's settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(f"{ENVIRONMENT}_")}


@contextmanager
def running_mesh(folder: Path) -> Iterator[dict[str, RunningNode]]:
    """The mesh of the demo, ended when the context is left."""
    nodes: dict[str, RunningNode] = {}
    with ExitStack() as stack:
        neighbours: list[str] = []
        for name, role in ROLES.items():
            node = RunningNode(name, [*neighbours, *role], folder / name.replace(" ", "-"))
            stack.callback(node.stop)
            nodes[name] = node
            if not neighbours:
                listening = node.wait_for("listening")
                neighbours = ["--neighbours", f"127.0.0.1:{listening['port']}"]
        for name, node in nodes.items():
            record = node.wait_for("published")
            click.echo(f"  {name:<13} {record['peer'][:8]}  {', '.join(record['routes'])}")
        yield nodes


def client(port: int, *arguments: str) -> dict[str, Any]:
    """Run `privox-client` once; what it printed with --json."""
    command = [sys.executable, "-m", "client.cli", "--neighbours", f"127.0.0.1:{port}", "--json"]
    with tempfile.TemporaryDirectory(prefix="privox-demo-client-") as state:
        try:
            ran = subprocess.run(
                [*command, "--state-dir", state, *arguments],
                capture_output=True, text=True, timeout=JOB_TIMEOUT, check=False,
                env=plain_environment(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            message = f"privox-client has no result after {JOB_TIMEOUT:.0f} s"
            raise click.ClickException(message) from None
    if ran.returncode:
        raise click.ClickException(f"privox-client ended with {ran.returncode}: {ran.stderr}")
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def words_right(asked: str, heard: str) -> tuple[int, int]:
    """(words of `asked` that came back in order, words of `asked`)."""
    wanted = words_of(asked)
    matcher = difflib.SequenceMatcher(None, wanted, words_of(heard), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()), len(wanted)


def there_and_back(port: int, text: str, folder: Path) -> bool:
    """Speak `text`, hear it again, say how it went."""
    wav = folder / "speech.wav"
    click.echo(f"\nasked:    {text}")
    spoken = client(port, "--service", "tts", "--text", text, "--output", str(wav))
    click.echo(f"spoken:   a WAV file of {spoken['bytes']:,} bytes, by {_who(spoken)}")
    heard = client(port, "--service", "stt", "--file", str(wav))
    transcript = heard["transcript"]["text"]
    click.echo(f"heard:    {transcript}\n          by {_who(heard)}")
    right, words = words_right(text, transcript)
    click.echo(f"words:    {right} of {words} came back right")
    return words > 0 and right / words >= GOOD_ENOUGH


def _who(job: dict[str, Any]) -> str:
    return f"{job['producer'][:8]} ({job['engine']}), {job['route']}, in {job['seconds']:.2f} s"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("text", default=SENTENCE)
@click.option("--stay", is_flag=True, help="Leave the mesh running until Ctrl-C.")
def main(text: str, stay: bool) -> None:
    """Start a mesh on this machine, have it speak TEXT, and have it transcribe that again."""
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupted)
    click.echo("starting a mesh of three nodes on 127.0.0.1 ...")
    with (
        tempfile.TemporaryDirectory(prefix="privox-demo-") as folder,
        running_mesh(Path(folder)) as nodes,
    ):
        port = nodes["first node"].events["listening"]["port"]
        worked = there_and_back(port, text or SENTENCE, Path(folder))
        click.echo(f"\n{'it works' if worked else 'IT DID NOT WORK'}: "
                   f"{time.monotonic() - began:.1f} s in all")  # fmt: skip
        if stay:
            _stay(port)
    sys.exit(0 if worked else 1)


def _interrupted(*_: object) -> None:
    """SIGTERM ends the demo as Ctrl-C does, with all its processes."""
    raise KeyboardInterrupt


def _stay(port: int) -> None:
    click.echo(f"\nthe mesh stays up until Ctrl-C; in another terminal:\n"
               f"  .venv/bin/privox-client --neighbours 127.0.0.1:{port} list\n"
               f"  .venv/bin/privox-client --neighbours 127.0.0.1:{port} --service tts "
               f'--text "Good day" --output day.wav')  # fmt: skip
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("\nstopping")


if __name__ == "__main__":
    main()
