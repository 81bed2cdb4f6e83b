"""The mesh from Python without `async`: for scripts, notebooks and programs with threads.

    from privox_dht import sync

    with sync.join(["host:5678"]) as mesh:
        audio = mesh.speak("Good day")
        print(mesh.transcribe(audio))
        for segment in mesh.segments("meeting.ogg"):
            print(segment.text)

    caller's thread              the mesh's own thread, with its own event loop
    join()            -------->  enters Mesh.join, and stays in it
    speak(...)        -------->  Mesh.speak(...)         any number of threads may call at once
    segments(...)     -------->  Mesh.segments(...)      item by item
    Ctrl-C            -------->  that job is cancelled, also at the producer
    close()           -------->  leaves the mesh; jobs that still run are cancelled

The caller's thread may run an event loop of its own, as in a notebook.
"""

import asyncio
import atexit
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any, ParamSpec, Self, TypeVar

from privox_dht.dispatch.event_stream import file_of, last_of
from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions, takes_keywords
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.joined_segments import segments_of
from privox_dht.errors import ProducerLost
from privox_dht.mesh import Mesh, Recording
from privox_dht.records import Record
from privox_dht.speech import Segment, Transcript
from privox_dht.voices import Voices

P = ParamSpec("P")
T = TypeVar("T")


class SyncMesh:
    """A joined mesh with blocking methods. Made by `join`; left by `close`, or by `with`."""

    def __init__(self, joining: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        """
        Args:
            joining: makes the async context manager that yields a `Mesh`.

        Raises:
            Whatever entering it raises.
        """
        self._mesh: Mesh
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[Any]] = set()  # touched in the mesh's thread only
        self._lock = threading.Lock()  # no job starts while the mesh is being left
        self._closed = False
        entered: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run_loop, args=(joining, entered), name="privox", daemon=True
        )
        self._thread.start()
        try:
            entered.result()
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SyncMesh {'left' if self._closed else 'joined'}>"

    def close(self) -> None:
        """Leave the mesh, once. Jobs of other threads end with `ProducerLost`."""
        with self._lock:
            self._closed = True
        if self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # it was left already
                pass
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    @takes_keywords(SpeechOptions)
    def speak(self, text: str, options: SpeechOptions) -> bytes:
        """`text` as audio (a WAV file unless `format` says otherwise); see `Mesh.speech`."""
        return self._wait(last_of(self._mesh.speech_events(text, options))).value

    @takes_keywords(TranscriptionOptions)
    def transcribe(self, audio: Recording, options: TranscriptionOptions) -> str:
        """The text of a recording (its bytes, its path, or an open file); see
        `Mesh.transcript`."""
        return self._wait(last_of(self._mesh.transcription_events(audio, options))).value.text

    @takes_keywords(SpeechOptions)
    def speech(self, text: str, options: SpeechOptions) -> Done[bytes]:
        """The audio and the producer; see `Mesh.speech`."""
        return self._wait(last_of(self._mesh.speech_events(text, options)))

    @takes_keywords(TranscriptionOptions)
    def transcript(self, audio: Recording, options: TranscriptionOptions) -> Done[Transcript]:
        """Segments with times and the producer; see `Mesh.transcript`."""
        return self._wait(last_of(self._mesh.transcription_events(audio, options)))

    @takes_keywords(TranscriptionOptions)
    def segments(self, audio: Recording, options: TranscriptionOptions) -> Generator[Segment]:
        """Segments as they are recognised; see `Mesh.segments`. Leaving the loop early, or closing
        the generator, cancels the job."""
        return self._iterate(segments_of(self._mesh.transcription_events(audio, options)))

    @takes_keywords(SpeechOptions)
    def audio(self, text: str, options: SpeechOptions) -> Generator[bytes]:
        """The file that `speech` makes, in pieces as they are spoken; see `Mesh.audio`. Leaving the
        loop early, or closing the generator, cancels the job."""
        return self._iterate(file_of(self._mesh.speech_events(text, replace(options, keep=False))))

    def producers(self, *services: str) -> list[Record]:
        """The records of all producers that can be found: of all services, or of those named."""
        return self._wait(self._mesh.producers(*([services] if services else [])))

    def voices(self) -> Voices:
        """Every voice on the mesh, with the producers that have it; see `Mesh.voices`."""
        return self._wait(self._mesh.voices())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._closed:
                work.close()
                raise RuntimeError("the mesh was left: join it again")
            future = asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)
        try:
            return future.result()
        except CancelledError as exc:
            raise ProducerLost("the mesh was left while this job ran") from exc
        except BaseException:
            future.cancel()  # Ctrl-C cancels the job in the mesh's thread
            raise

    def _iterate(self, stream: AsyncGenerator[T]) -> Generator[T]:
        try:
            while item := self._wait(_next(stream)):
                yield item[0]
        finally:
            with suppress(RuntimeError):  # the mesh was left, or Ctrl-C ended the job already
                self._wait(_close(stream))

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._jobs.add(task)
        try:
            return await work
        finally:
            self._jobs.discard(task)

    def _run_loop(self, joining: Callable[[], Any], entered: Future[None]) -> None:
        try:
            asyncio.run(self._run(joining, entered))
        except RuntimeError:
            if threading.main_thread().is_alive():
                raise
            # The interpreter ends. From Python 3.12 on it starts no thread then, and asyncio wants
            # one to wait for its executor's; concurrent.futures has waited for those already.

    async def _run(self, joining: Callable[[], Any], entered: Future[None]) -> None:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._closed:  # Ctrl-C came before there was anything to cancel
            return
        try:
            async with joining() as self._mesh:
                entered.set_result(None)
                try:
                    await asyncio.Event().wait()  # until it is cancelled
                finally:
                    jobs = list(self._jobs)
                    for job in jobs:
                        job.cancel()
                    await asyncio.gather(*jobs, return_exceptions=True)
        except asyncio.CancelledError:
            pass
        except BaseException as exc:
            if entered.done():
                raise
            entered.set_exception(exc)


async def _next(stream: AsyncGenerator[T]) -> tuple[T, ...]:
    """The next item; nothing at the end."""
    try:
        return (await anext(stream),)
    except StopAsyncIteration:
        return ()


async def _close(stream: AsyncGenerator[T]) -> None:
    await stream.aclose()


def _blocking(joining: Callable[P, AbstractAsyncContextManager[Mesh]]) -> Callable[P, SyncMesh]:
    def join(*args: P.args, **options: P.kwargs) -> SyncMesh:
        """Join the mesh. Arguments and errors: see `Mesh.join`."""
        return SyncMesh(lambda: joining(*args, **options))

    join.__signature__ = inspect.signature(joining)  # type: ignore[attr-defined]
    return join


join = _blocking(Mesh.join)
