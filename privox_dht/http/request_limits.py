"""The limits of one request: sizes, counts and seconds. A node's owner may change the defaults."""

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
