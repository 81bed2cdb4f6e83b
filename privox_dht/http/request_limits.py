"""Limits of one request, and of its speed.

RequestLimits  sizes, counts and seconds; the defaults are in `limits`, an owner may change them
MinimumRate    pure: from when bytes came, the deadline of the next
"""

from dataclasses import dataclass

from privox_dht import limits


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of a speech server."""

    text: int = limits.MAX_TEXT  # characters to speak
    upload: int = limits.MAX_UPLOAD  # bytes of a multipart body
    fields: int = limits.MAX_FIELDS  # parts of a form
    field: int = limits.MAX_FIELD  # bytes of one text field
    headers: int = limits.MAX_HEADERS  # bytes of request line and headers
    json: int = limits.MAX_JSON  # bytes of a JSON body
    upload_begin: float = limits.UPLOAD_FIRST_BYTE  # seconds until the first byte of a body
    upload_rate: float = limits.MIN_UPLOAD_RATE  # bytes per second
    upload_window: float = limits.UPLOAD_WINDOW  # seconds over which the rate is judged
    upload_wall: float = limits.UPLOAD_WALL  # seconds for the whole upload
    in_memory: int = limits.SPOOL_IN_MEMORY  # bytes before an upload goes to a temporary file
    speech_seconds: float = limits.MAX_SPEECH_SECONDS  # seconds of sound one text may become
    heartbeat: float = limits.HEARTBEAT  # seconds between comments on a quiet stream
    handshake: float = limits.HANDSHAKE_TIMEOUT  # seconds for TLS
    goodbye: float = limits.TLS_SHUTDOWN_TIMEOUT  # seconds for the end of TLS
    jobless: float = limits.CONNECTION_WITHOUT_JOB  # seconds until a job must have begun
    keepalive: float = limits.KEEPALIVE  # seconds an idle connection stays
    linger: float = limits.LINGER  # seconds a refused upload is still read
    queue_wait: float = limits.QUEUE_WAIT  # seconds a job may wait for a slot
    answer_stall: float = limits.ANSWER_STALL  # seconds without the client taking a byte
    connections: int = limits.MAX_CONNECTIONS
    connections_per_address: int = limits.MAX_CONNECTIONS_PER_ADDRESS


class MinimumRate:
    """How fast a body must come: its first byte soon, then enough in every window, all in time.

    A window ends as soon as enough has come, so a fast sender is never near a deadline, and cannot
    save up time to be slow later.
    """

    def __init__(self, bounds: RequestLimits, now: float) -> None:
        self._bounds = bounds
        self._ends = now + bounds.upload_wall
        self._missing = 1.0  # bytes still to come in this window; the first wants just a beginning
        self.due = min(now + bounds.upload_begin, self._ends)  # by then more must have come

    def __repr__(self) -> str:
        return f"<MinimumRate {self._missing:.0f} bytes due at {self.due:.1f}>"

    def took(self, size: int, now: float) -> None:
        """`size` bytes came."""
        self._missing -= size
        if self._missing <= 0:
            self._missing = self._bounds.upload_rate * self._bounds.upload_window
            self.due = min(now + self._bounds.upload_window, self._ends)
