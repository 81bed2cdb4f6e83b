"""A transcript for live readers: no word comes twice if a producer is lost in mid-job. Pure.

    first producer     [Good morning] [every            lost at 2.1 s
    second producer    [Good morning everybody,]        [today we ...]
    emitted            Good morning every               today we ...   (from the last end on)

The second producer's segments are cut where the last segment of the first one ended: by the times
of words if it sends them, else in proportion. So one word at the joint may be missing or be there
twice, in two spellings. The `value` of `Done` is the whole transcript of the last producer, without
a joint.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from privox_dht.dispatch.job_events import Dialing, JobEvent, Progress
from privox_dht.dispatch.job_state import Done
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.transcript import gather

JOINT_TOLERANCE = 0.3  # seconds by which producers may differ about the end of a segment


class JoinedSegments:
    """The transcript so far, over all producers that were asked."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.seconds = 0.0  # of the recording; 0: not known yet
        self.end = 0.0  # seconds; of the last segment
        self._joint = 0.0  # seconds; where the segments of earlier producers end

    def take(self, event: Progress) -> Segment | None:
        """The new part of a segment; None: nothing is new."""
        match event:
            case Dialing():
                self._joint = self.end
            case AudioInfo(seconds):
                self.seconds = seconds
            case Segment() if new := part_after(event, self._joint):
                self.segments.append(new)
                within = min(new.end, self.seconds or new.end)  # engines may go beyond the end
                self.end = max(self.end, within)
                return new
        return None

    def transcript(self, language: str = "") -> Transcript:
        """The whole; `language` is the one that was asked for."""
        return gather(self.segments, self.seconds, language)


def part_after(segment: Segment, until: float) -> Segment | None:
    """The part of a segment after `until` seconds; None: there is none."""
    if segment.start >= until - JOINT_TOLERANCE:
        return segment
    if segment.end <= until + JOINT_TOLERANCE:
        return None
    words = tuple(word for word in segment.words if (word.start + word.end) / 2 >= until)
    share = (until - segment.start) / (segment.end - segment.start)
    if segment.words:
        share = 1 - len(words) / len(segment.words)
    pieces = segment.text.split()
    left = pieces[round(share * len(pieces)) :]
    return replace(segment, text=" ".join(left), start=until, words=words) if left else None


async def segments_of(events: AsyncGenerator[JobEvent[Transcript]]) -> AsyncGenerator[Segment]:
    """The segments in the events of a job, as they come. Closing this cancels the job."""
    joined = JoinedSegments()
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Done) and (segment := joined.take(event)):
                yield segment
