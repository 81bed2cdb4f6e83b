"""Text for somebody who reads along: no word comes twice, though a producer died in mid-job. Pure.

    first producer     [Good morning] [every            lost at 2.1 s
    second producer    [Good morning everybody,]        [today we ...]
    read               Good morning every               today we ...   (from the last end on)

The second one's words are cut where the first one's last segment ended: by the times of words where
it tells them, else in proportion. So one word at the joint may be missing, or stand there in both
producers' spelling. The `value` of `Done` has the whole of the last producer's, without a joint.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from privox_dht.dispatch.job_events import Dialing, JobEvent, Progress
from privox_dht.dispatch.job_state import Done
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.transcript import gather

JOINT_TOLERANCE = 0.3  # seconds by which producers may differ about where a segment ends


class JoinedSegments:
    """What was heard so far, over all producers that were asked."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.seconds = 0.0  # of the recording; 0: not known yet
        self.end = 0.0  # seconds; how far it was heard
        self._joint = 0.0  # seconds; what an earlier producer told ends here

    def take(self, event: Progress) -> Segment | None:
        """What is new in an event; None: nothing."""
        match event:
            case Dialing():
                self._joint = self.end
            case AudioInfo(seconds):
                self.seconds = seconds
            case Segment() if new := part_after(event, self._joint):
                self.segments.append(new)
                within = min(new.end, self.seconds or new.end)  # engines may guess beyond the end
                self.end = max(self.end, within)
                return new
        return None

    def transcript(self, language: str = "") -> Transcript:
        """All of it; `language` is what was asked for."""
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
    """The segments in the events of a job, as they come. Leaving early ends the job."""
    joined = JoinedSegments()
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Done) and (segment := joined.take(event)):
                yield segment
