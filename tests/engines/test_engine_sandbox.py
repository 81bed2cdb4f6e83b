"""The sandbox: what the system refuses a worker that does as a stranger tells it."""

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import tiny_models

from nodes.engines import landlock, seccomp
from nodes.engines.espeak import EspeakNg
from nodes.engines.pico import Pico
from nodes.engines.pooled_engine import PooledEngine
from nodes.engines.worker_pool import WorkerPool
from privox_dht import speech

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this sandbox is Linux's")
MIB = 1 << 20


@pytest.fixture(autouse=True)
def _find_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(params=["--fork", "--threads", "--alone", "--threads --gpu"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool("scripted_worker", request.param.split())
    await pool.start()
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("piper")
    return tiny_models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=tiny_models.NAMES)
async def engine(request: pytest.FixtureRequest, models: Path) -> AsyncIterator[PooledEngine]:
    """An engine whose worker, told to, also tries what it must not."""
    engine = tiny_models.engine_of(request.param, models)
    pool = engine._pool = WorkerPool("sandboxed", [engine._pool.module, *await engine._arguments()])
    await pool.start()
    yield engine
    await pool.close()


async def test_an_engine_with_threads_is_behind_the_wall(engine: PooledEngine, state: Path) -> None:
    pool = engine._pool
    for what, argument in {
        "read": state / "key",
        "list": state,
        "write": state / "new",
        "append": state / "key",
        "remove": state / "key",
        "socket": "",
        "datagram": "",
        "socket pair": "",
        "fork": "",
        "run": "",
        "kill": os.getpid(),
    }.items():
        assert await refused(pool, what, argument) == "PermissionError", what
    assert (state / "key").read_bytes() == b"secret"


async def test_threads_that_were_there_before_the_wall_are_behind_it(engine: PooledEngine) -> None:
    """CTranslate2 and onnxruntime start some while they load."""
    [pid] = engine.pids
    tasks = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    assert len(tasks) > 1
    for status in tasks:
        said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (said["Seccomp"], said["NoNewPrivs"]) == ("2", "1")
        assert (os.geteuid() != 0) or "0" not in said["Uid"].split()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder as a careless owner leaves it, readable and writable by all."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.owner() == tmp_path.owner() and folder != Path("/") and folder != Path("/tmp"):
            folder.chmod(0o755)
    key = tmp_path / "key"
    key.write_bytes(b"secret")
    key.chmod(0o666)
    return tmp_path


async def refused(pool: WorkerPool, what: str, argument: object = "") -> str:
    """The error with which `what` failed; "" if it did not."""
    question = {"do": "try", "what": what, "with": str(argument)}
    [(head, _)] = [piece async for piece in pool.ask(question)]
    return str(head["refused by"])


async def test_every_wall_stands_on_linux(pool: WorkerPool) -> None:
    measures = (await pool.start())["sandbox"]
    assert {"limits", "no new privileges", "seccomp"} <= set(measures)
    assert (landlock.version() == 0) or f"Landlock {landlock.version()}" in measures
    assert ("other user" in measures) == (os.geteuid() == 0)


async def test_a_root_that_may_not_change_its_user_has_the_rest_of_the_sandbox() -> None:
    """As in a container that was started with `--cap-drop ALL`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_RIGHTS), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    measures = said.decode().strip().split(",")
    assert "other user" not in measures and {"limits", "no new privileges", "seccomp"} <= set(
        measures
    )


WITHOUT_RIGHTS = """
import ctypes, os
from nodes.engines.sandbox import Sandbox, enter
libc = ctypes.CDLL(None)
for capability in range(41):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
import struct
head = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))
libc.capset(head, ctypes.create_string_buffer(24))
print(*enter(Sandbox(), os.getppid()), sep=",")
"""


async def test_without_landlock_an_engine_still_reads_its_voices_and_the_others_nothing(
    tmp_path: Path,
) -> None:
    """As on Linux before 5.13: pico and espeak-ng could not open their own files."""
    for readable, outcome in ((tmp_path, "opened"), ("", "Operation not permitted")):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WITHOUT_LANDLOCK, str(readable)), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        measures, came = said.decode().strip().splitlines()
        assert "seccomp" in measures and "Landlock" not in measures
        assert came == outcome


WITHOUT_LANDLOCK = """
import os, sys
from pathlib import Path
from nodes.engines import landlock
from nodes.engines.sandbox import Sandbox, enter
landlock.version = lambda: 0
folder = sys.argv[1]
print(*enter(Sandbox(readable=(Path(folder),) if folder else ()), os.getppid()))
try:
    os.close(os.open("/etc/hostname", os.O_RDONLY))
    print("opened")
except OSError as exc:
    print(exc.strerror)
"""


async def test_a_worker_cannot_read_the_state_folder(pool: WorkerPool, state: Path) -> None:
    assert await refused(pool, "read", state / "key") == "PermissionError"
    assert await refused(pool, "list", state) == "PermissionError"


async def test_a_worker_cannot_open_a_socket(pool: WorkerPool) -> None:
    for kind in ("socket", "datagram", "socket pair"):
        assert await refused(pool, kind) == "PermissionError", kind


async def test_a_worker_cannot_start_a_process(pool: WorkerPool) -> None:
    assert await refused(pool, "fork") == "PermissionError"
    assert await refused(pool, "run") == "PermissionError"


async def test_a_worker_cannot_write_a_file(pool: WorkerPool, state: Path) -> None:
    assert await refused(pool, "write", state / "new") == "PermissionError"
    assert await refused(pool, "append", state / "key") == "PermissionError"
    assert await refused(pool, "remove", state / "key") == "PermissionError"
    assert (state / "key").read_bytes() == b"secret"


async def test_a_worker_cannot_write_into_an_upload_that_was_handed_to_it(
    pool: WorkerPool, state: Path
) -> None:
    file = os.open(state / "key", os.O_RDWR)
    try:
        question = {"do": "write to what came"}
        with pytest.raises(Exception, match="OSError"):
            [_ async for _ in pool.ask(question, b"mine", [file])]
    finally:
        os.close(file)
    assert (state / "key").read_bytes() == b"secret"


async def test_a_worker_cannot_signal_the_node_nor_raise_its_limits(pool: WorkerPool) -> None:
    assert await refused(pool, "kill", os.getpid()) == "PermissionError"
    assert await refused(pool, "limits") in ("PermissionError", "ValueError")


async def test_a_worker_has_no_more_memory_than_it_was_given(pool: WorkerPool) -> None:
    assert await refused(pool, "memory", 32 * MIB) == ""
    assert await refused(pool, "memory", 512 * MIB) == "MemoryError"


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_the_filter_ends_every_branch_and_jumps_nowhere_else(machine: str) -> None:
    """As the kernel checks it, for machines other than this one as well."""
    column, audit, _ = seccomp.MACHINES[machine]
    for allowed in (
        seccomp.Allowed(),
        seccomp.Allowed(True, True, True, True),
        seccomp.Allowed(devices=True),
    ):
        lines = seccomp.program(allowed, column, audit, 1)
        assert len(lines) < 4096 and lines[-1][0] == seccomp.RETURN
        for at, (code, yes, no, _) in enumerate(lines):
            if code == seccomp.IF_EQUAL:
                assert max(at + 1 + yes, at + 1 + no) < len(lines)


def test_the_numbers_of_calls_are_each_there_once() -> None:
    for column in (0, 1):
        every = [*seccomp.NUMBERS.values(), *seccomp.DENIED_WITH_GPU.values()]
        numbers = [both[column] for both in every if both[column] is not None]
        assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    "call", ["socket", "connect", "execve", "ptrace", "kill", "fork", "unlink"]
)
def test_what_reaches_beyond_the_process_is_not_on_the_list(call: str) -> None:
    assert call not in seccomp.NUMBERS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers become another user")
@pytest.mark.parametrize(
    ("package", "engine_of"),
    [
        ("piper", lambda models: tiny_models.engine_of("piper", models)),
        ("espeakng_loader", lambda _: EspeakNg()),
        ("py_nanotts", lambda _: Pico()),
    ],
)
async def test_a_voice_that_root_installed_in_a_closed_folder_speaks(
    tmp_path: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    engine_of: Callable[[Path], speech.Speaker],
) -> None:
    """Such as in a virtual environment in /root: nobody else can look into it."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin
    closed = tmp_path / "root"
    shutil.copytree(Path(found.origin).parent, closed / package)
    closed.chmod(0o700)
    monkeypatch.setenv("PYTHONPATH", str(closed))
    engine = engine_of(models)
    try:
        await engine.start()
        request = speech.SpeechRequest("Good day, and good night.")
        assert sum([sound.seconds async for sound in engine.speak(request)]) > 0.5
    finally:
        await engine.close()
