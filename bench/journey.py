"""Which files of the project a job enters: `privox-client --service stt --file` and a node, traced.

    python -m bench.journey                how many, and which, in the order of their first call
    python -m bench.journey --leaves       with those that are not counted, too

A file is entered when one of its functions is called for the job: in the client from its command
line on, in the node by tasks that the job began. A worker process counts by the module it runs.
Not counted are the directory and the relay, which are journeys of their own, with what only they
call, and a few files of plain values that everything uses.
"""

import argparse
import asyncio
import contextlib
import functools
import inspect
import json
import random
import sys
import tempfile
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from client.cli import main as client_main
from nodes.config import NodeConfig
from nodes.node import Node
from nodes.service_spec import parse_services

ROOT = Path(__file__).resolve().parents[1]
OURS = ("client/", "nodes/", "privox_dht/")
OTHER_JOURNEYS = ("privox_dht/dht/", "privox_dht/relay/", "privox_dht/directory/")
LEAVES = tuple(
    f"privox_dht/{name}.py"
    for name in ("addresses", "errors", "identity", "limits", "records", "speech")
)
RATE, SECONDS = 16_000, 2  # of the recording: noise
WORKERS = "nodes/engines/worker_main.py"  # what every worker module runs in


class Journey:
    """The files that were entered while it was under way."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}  # in the order of their first call
        self.workers: dict[str, None] = {}  # modules that processes were started with
        self.under_way = False
        self._before: set[asyncio.Task[Any]] = set()  # what the node did before there was a job

    def begin(self, before: set[asyncio.Task[Any]]) -> None:
        self._before, self.under_way = before, True

    def end(self) -> None:
        self.under_way = False
        for module in self.workers:
            self.files[module] = None
            self.files[WORKERS] = None

    def called(self, frame: FrameType, event: str, _argument: object) -> None:
        """What `sys.setprofile` calls."""
        if event != "call" or not self.under_way:
            return
        file = _file_of(frame.f_code)
        if file and file not in self.files and not self._is_background() and not _aside(frame):
            self.files[file] = None

    def _is_background(self) -> bool:
        try:
            return asyncio.current_task() in self._before
        except RuntimeError:  # no loop runs in this thread
            return False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What `sys.addaudithook` calls: a process is started."""
        if event == "subprocess.Popen":
            words = list(map(str, arguments[1]))
            modules = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m"]
            for module in modules:
                file = module.replace(".", "/") + ".py"
                if (ROOT / file).exists():
                    self.workers[file] = None

    def counted(self) -> list[str]:
        """The files that count."""
        return [file for file in self.files if not file.startswith((*LEAVES, *OTHER_JOURNEYS))]


def _aside(frame: FrameType) -> bool:
    """Whether the directory or the relay called it."""
    caller = frame.f_back
    while caller is not None:
        if _file_of(caller.f_code).startswith(OTHER_JOURNEYS):
            return True
        caller = caller.f_back
    return False


@functools.cache
def _file_of(code: CodeType) -> str:
    """The file of a function of ours; nothing for modules and classes that are being defined."""
    if not code.co_flags & inspect.CO_OPTIMIZED:
        return ""
    try:
        file = Path(code.co_filename).relative_to(ROOT).as_posix()
    except ValueError:
        return ""
    return file if file.startswith(OURS) else ""


@contextlib.contextmanager
def traced(journey: Journey) -> Iterator[None]:
    """Every call is looked at, in this thread and in those that begin meanwhile."""
    sys.addaudithook(journey.audit)
    threading.setprofile(journey.called)
    sys.setprofile(journey.called)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@contextlib.contextmanager
def running_node(folder: Path, service: str) -> Iterator[tuple[Node, asyncio.AbstractEventLoop]]:
    """A node in a thread of its own."""
    up: threading.Event = threading.Event()
    seen: list[tuple[Node, asyncio.AbstractEventLoop, asyncio.Event]] = []
    failed: list[BaseException] = []

    async def live() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        services = tuple(parse_services((service,)))
        config = NodeConfig(folder, port=0, host="127.0.0.1", services=services, farm=False)
        async with Node(config) as node:
            while not node.reachability.ready_to_publish:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await node.announcer.announce()
            seen.append((node, loop, over))
            up.set()
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as exc:
            failed.append(exc)
            up.set()

    thread = threading.Thread(target=run, name="node")
    thread.start()
    up.wait()
    if failed:
        raise failed[0]
    node, loop, over = seen[0]
    try:
        yield node, loop
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


def journey_of_file(service: str = "stt/cpu/pocketsphinx") -> Journey:
    """The journey of a recording through the client's command line, a node and its engine."""
    journey = Journey()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="privox-journey-")))
        recording = folder / "noise.wav"
        with wave.open(str(recording), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(random.Random(1).randbytes(2 * RATE * SECONDS))
        stack.enter_context(traced(journey))
        node, loop = stack.enter_context(running_node(folder / "node", service))
        options = [
            "--neighbours", f"127.0.0.1:{node.dht.port}", "--state-dir", str(folder / "client"),
            "--service", "stt", "--file", str(recording), "--model", service.split("/")[-1],
            "--output", str(folder / "noise.txt"),
        ]  # fmt: skip
        journey.begin(asyncio.all_tasks(loop))
        try:
            client_main(options)
        except SystemExit as exc:
            if exc.code:
                raise
        finally:
            journey.end()
    return journey


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--service", default="stt/cpu/pocketsphinx", help="what the node lends")
    parser.add_argument("--leaves", action="store_true", help="name those not counted, too")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    journey = journey_of_file(options.service)
    counted = journey.counted()
    lines = sum(len((ROOT / file).read_text().splitlines()) for file in counted)
    if options.json:
        print(json.dumps({"files": counted, "lines": lines}))
        return
    for file in journey.files if options.leaves else counted:
        print(file)
    print(f"{len(counted)} files, {lines:,} lines")


if __name__ == "__main__":
    main()
