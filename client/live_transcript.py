"""A transcript that is written while it is recognised.

    stdout   text, srt, vtt, tsv    piece by piece; on a terminal a line for each segment of a text
             json                   at the end
    a file   all formats            the whole so far, every second, in one step each time
    the end                         the whole transcript, of one producer
    Ctrl-C, or an error             what was heard until then is kept, and said so

Where a producer dies in mid-job the next one's words go on where its own ended (`JoinedSegments`);
a file has the next one's whole transcript in the end.
"""

import sys
import time
from typing import Any

from client.display import Progress
from client.files import STDIO, write, write_so_far, write_within
from client.targets import Target
from privox_dht.caption_layout import CaptionLayout
from privox_dht.cli.output import sanitize, say
from privox_dht.dispatch.job_events import Dialing, JobEvent, Scattered
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.joined_segments import JoinedSegments
from privox_dht.speech import Segment, Transcript
from privox_dht.transcript import GROWING, GrowingText, render, verbose
from privox_dht.units import clock_time

SAVE_EVERY = 1.0  # seconds between two versions of a file
LAST_WAIT = 2.0  # seconds for a slow reader of stdout to take what was heard, once we are to end


class PartialTranscript(Exception):
    """The job ended without a result (`__cause__` says why), after something was heard."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__(transcript.text)
        self.transcript = transcript

    def as_json(self) -> dict[str, Any]:
        """What `--json` adds to the error."""
        return {"transcript": verbose(self.transcript, words=True)}


class LiveTranscript:
    """One job's transcript on its way to its target."""

    def __init__(
        self, target: Target, layout: CaptionLayout, progress: Progress, *, words: bool
    ) -> None:
        self.words = words  # whether their times are wanted
        self._target = target
        self._layout = layout
        self._progress = progress
        self._joined = JoinedSegments()
        self._joint = 0.0  # seconds; up to here earlier producers were heard
        self._seconds = 0.0  # that a scattered recording says it has
        self._saved = 0.0  # when, by `time.monotonic`
        self._unread = b""  # what stdout has not taken yet
        self._pieces: GrowingText | None = None  # for what goes to stdout in pieces
        self._by_lines = False
        if target.output == STDIO and target.format in GROWING:
            self._pieces = GrowingText(target.format, layout)
            self._by_lines = target.format == "text" and sys.stdout.isatty()

    def take(self, event: JobEvent[Any]) -> None:
        """Show what happened, and write what is new."""
        if isinstance(event, Dialing):
            self._say_joint()
        if isinstance(event, Scattered):
            self._seconds = event.seconds
        segment = None if isinstance(event, Done) else self._joined.take(event)
        if segment is None:
            self._progress.show(event)
        elif self._pieces is not None:
            self._print(self._pieces, segment)
            self._progress.show(event)
        else:
            self._progress.show(event)
            self._save()

    def finish(self, transcript: Transcript) -> None:
        """The job is done: write all of it that is not written yet.

        Raises:
            ConfigError: that is not possible.
        """
        self._progress.clear()
        if self._pieces is not None:
            write(STDIO, self._unread + self._end(self._pieces))
        elif self._target.output:
            write(self._target.output, self._rendered(transcript))

    def save_partial(self, language: str) -> PartialTranscript | None:
        """The job ended without a result: write what was heard, and say where; None: nothing was.

        Args:
            language: what was asked for.

        Raises:
            ConfigError: it cannot be written.
        """
        heard = self._joined.transcript(language)
        self._progress.clear()
        if not heard.text:
            self.say_resumable()
            return None
        if self._pieces is not None:
            write_within(self._unread + self._end(self._pieces), LAST_WAIT)
        elif self._target.output:
            write(self._target.output, self._rendered(heard))
        until, whole = clock_time(self._joined.end), heard.seconds or self._seconds
        far = f"{until} of {clock_time(whole)}" if whole else until
        on = "; the same command goes on from there" if self._is_resumable else ""
        say(sanitize(f"privox-client: what was heard, {far}, {self._where()}{on}"))
        return PartialTranscript(heard)

    def say_resumable(self) -> None:
        """Say so where the next run finds what was heard."""
        self._progress.clear()
        if self._is_resumable:
            say("privox-client: what was heard is kept, and the same command goes on from there")

    @property
    def _is_resumable(self) -> bool:
        """Whether the next run finds what was heard."""
        part = self._target.part
        return part is not None and part.exists()

    def _say_joint(self) -> None:
        """Tell a live reader where one producer's words end and another's begin."""
        if self._pieces is not None and self._joined.end > self._joint:
            self._joint = self._joined.end
            self._progress.clear()
            say(f"privox-client: lost at {clock_time(self._joint)}, going on from there")

    def _where(self) -> str:
        if self._target.output == STDIO:
            return "was printed"
        return f"is in {self._target.output}" if self._target.output else "is in the JSON"

    def _print(self, pieces: GrowingText, segment: Segment) -> None:
        if self._by_lines:
            text = f"{' '.join(segment.text.split())}\n"
            self._progress.clear()
        else:
            text = pieces.piece(segment)
        self._unread = write_within(self._unread + sanitize(text).encode())

    def _end(self, pieces: GrowingText) -> bytes:
        silent = self._target.format == "text" and not self._joined.segments
        return b"" if self._by_lines or silent else pieces.end().encode()

    def _save(self) -> None:
        if self._target.output in ("", STDIO) or time.monotonic() - self._saved < SAVE_EVERY:
            return
        write_so_far(self._target.output, self._rendered(self._joined.transcript()))
        self._saved = time.monotonic()

    def _rendered(self, transcript: Transcript) -> bytes:
        form = "verbose_json" if self._target.format == "json" else self._target.format
        text = render(transcript, form, words=True, layout=self._layout).rstrip("\n")
        return sanitize(f"{text}\n" if text else "").encode()
