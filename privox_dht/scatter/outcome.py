"""The error of a scattered recording. Pure.

the file is cut short         what was transcribed is kept; the error blames the file, with the time
some pieces failed everywhere the rest is kept; the error names their times
"""

from collections.abc import Sequence

from privox_dht.dispatch.job_state import Attempt
from privox_dht.errors import AllProducersFailed, JobError, RequestRejected
from privox_dht.scatter.cut import Piece
from privox_dht.scatter.piece_source import Sound
from privox_dht.units import clock_time


def recording_error(
    source: Sound, left_out: Sequence[tuple[Piece, JobError]], attempts: Sequence[Attempt]
) -> JobError | None:
    """The error of a recording whose pieces are all settled; None: there is none.

    Args:
        source: where the pieces came from.
        left_out: pieces that no producer could transcribe, and why.
        attempts: what was tried for any piece.
    """
    if source.decode_error is not None:
        return RequestRejected(
            f"the recording breaks off at {clock_time(source.seconds)}; what comes before was"
            f" transcribed ({source.decode_error.message})",
            status=source.decode_error.status,
            code=source.decode_error.code,
        )
    if left_out:
        times = ", ".join(
            f"{clock_time(piece.start)} to {clock_time(piece.end)}"
            for piece, _ in sorted(left_out, key=lambda left: left[0].number)
        )
        why = left_out[0][1]
        return AllProducersFailed(f"no producer could transcribe {times}: {why}", attempts)
    return None
