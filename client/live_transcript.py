"""A transcript that is written while it is recognised.

    stdout   text, srt, vtt, tsv    piece by piece; on a terminal one line per segment of a text
             json                   at the end
    a file   all formats            the whole so far, replaced every second
    the end                         the whole transcript, of one producer
    Ctrl-C, or an error             the transcript so far is kept, and a message says where

If a producer is lost in mid-job, the next one goes on where its segments ended (`JoinedSegments`);
in the end a file has the whole transcript of the last producer.
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
LAST_WAIT = 2.0  # seconds that a slow reader of stdout gets to read the rest when the job fails


class PartialTranscript(Exception):
    """The job failed or was cancelled (see `__cause__`), but a part was transcribed."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__(transcript.text)
        self.transcript = transcript

    def as_json(self) -> dict[str, Any]:
        """What `--json` adds to the error."""
        return {"transcript": verbose(self.transcript, words=True)}


class LiveTranscript:
    """Writes the transcript of one job to its target."""

    def __init__(
        self, target: Target, layout: CaptionLayout, progress: Progress, *, words: bool
    ) -> None:
        self.words = words  # whether the times of words are needed
        self._target = target
        self._layout = layout
        self._progress = progress
        self._joined = JoinedSegments()
        self._joint = 0.0  # seconds; where the segments of earlier producers end
        self._seconds = 0.0  # of a scattered recording
        self._saved = 0.0  # time of the last save, by `time.monotonic`
        self._unread = b""  # what stdout has not taken yet
        self._pieces: GrowingText | None = None  # for what goes to stdout in pieces
        self._by_lines = False
        if target.output == STDIO and target.format in GROWING:
            self._pieces = GrowingText(target.format, layout)
            self._by_lines = target.format == "text" and sys.stdout.isatty()

    def take(self, event: JobEvent[Any]) -> None:
        """Show an event, and write a new segment."""
        if isinstance(event, Dialing):
            self._say_joint()
        if isinstance(event, Scattered):
            self._seconds = event.seconds
        segment = None if isinstance(event, Done) else self._joined.take(event)
        if segment is not None and self._pieces is not None:
            self._print(self._pieces, segment)
        self._progress.show(event)
        if segment is not None and self._pieces is None:
            self._save()

    def finish(self, transcript: Transcript) -> None:
        """The job is done: write the rest, or the whole file.

        Raises:
            ConfigError: it cannot be written.
        """
        self._progress.clear()
        if self._pieces is not None:
            write(STDIO, self._unread + self._end(self._pieces))
        elif self._target.output:
            write(self._target.output, self._rendered(transcript))

    def save_partial(self, language: str) -> PartialTranscript | None:
        """The job failed: write the transcript so far and print where it is; None: it is empty.

        Args:
            language: the one that was asked for.

        Raises:
            ConfigError: it cannot be written.
        """
        transcript = self._joined.transcript(language)
        self._progress.clear()
        if not transcript.text:
            self.say_resumable()
            return None
        if self._pieces is not None:
            write_within(self._unread + self._end(self._pieces), LAST_WAIT)
        elif self._target.output:
            write(self._target.output, self._rendered(transcript))
        until, whole = clock_time(self._joined.end), transcript.seconds or self._seconds
        far = f"{until} of {clock_time(whole)}" if whole else until
        on = "; the same command goes on from there" if self._is_resumable else ""
        say(sanitize(f"privox-client: the transcript so far, {far}, {self._where()}{on}"))
        return PartialTranscript(transcript)

    def say_resumable(self) -> None:
        """Print a line if the next run can resume this one."""
        self._progress.clear()
        if self._is_resumable:
            say("privox-client: the finished pieces are kept; the same command goes on from there")

    @property
    def _is_resumable(self) -> bool:
        """Whether the next run can resume this one."""
        part = self._target.part
        return part is not None and part.exists()

    def _say_joint(self) -> None:
        """Print where the segments of the next producer begin."""
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
