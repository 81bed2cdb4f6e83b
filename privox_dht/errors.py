"""Everything this project raises, as a tree.

    PrivoxError
      LocalError               our side: a setting or this machine's software is at fault
        ConfigError              a flag, environment variable or file is invalid
        EngineUnavailable        an engine cannot be used here; `.fix` says how to fix it
      RemoteError              the other side: invalid data came over the network
        BadRecord                a record that must be dropped; `.reason` names the counter
        BadMessage               a datagram or relay line that must be dropped; `.reason` likewise
      JobError                 how a job can end other than `done`
        RequestRejected          the request is invalid; `.status` is the HTTP status for it
        ProducerBusy             no slot is free now; `.retry_after` says when to ask again
          NoParkedLine             the farm has no line to this producer now
        EngineFailed             the engine failed during the job
        ProducerLost             the producer, or the route to it, was lost during the job
          PeerKeyMismatch          another node than the producer that signed the record answered
        NotJoined                no neighbour answered
        NoProducer               no producer on the mesh does this
        AllProducersBusy         all producers that match were busy until the wait ended
        AllProducersFailed       all producers that were tried failed; `.attempts` says who and why
        SomeFailed               of several recordings some could not be transcribed

An error is either local or remote. Each layer translates what its libraries raise: above `dht/`
nobody imports kademlia, above `relay/` and `http/` nobody imports aiohttp.
"""

from collections.abc import Sequence


class PrivoxError(Exception):
    """The root: catch this to catch everything that privox_dht raises on purpose."""


class LocalError(PrivoxError):
    """The cause is on our side."""


class ConfigError(LocalError):
    """A flag, an environment variable or a configuration file is invalid."""


class EngineUnavailable(LocalError):
    """An engine cannot be used on this machine."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(f"{why}; to fix it: {fix}" if fix else why)
        self.why = why
        self.fix = fix


class RemoteError(PrivoxError):
    """The cause is on the other side."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class BadRecord(RemoteError):
    """A capability record that must be dropped."""


class BadMessage(RemoteError):
    """A datagram or a relay line that must be dropped."""


class JobError(PrivoxError):
    """A job ended in another way than `done`."""

    outcome = "failed"


class RequestRejected(JobError):
    """The request is invalid; any other producer would reject it too."""

    outcome = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_request",
        param: str | None = None,
        retry_after: float | None = None,
        local: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.local = local  # found on this machine: no producer said so
        self.retry_after = retry_after  # seconds after which it would be accepted; None: never
        self.status = status
        self.code = code
        self.param = param


class ProducerBusy(JobError):
    """All slots are in use now; the producer works."""

    outcome = "refused"

    def __init__(self, message: str = "every slot is taken", retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoParkedLine(ProducerBusy):
    """The farm has no parked line to this producer now; another route may do."""


class EngineFailed(JobError):
    """The engine failed during the job."""


class ProducerLost(JobError):
    """The producer, or the route to it, was lost before the job was done."""

    outcome = "lost"

    def __init__(self, message: str, *, begun: bool = False, timed_out: bool = False) -> None:
        super().__init__(message)
        self.begun = begun  # the producer had accepted the job, which may have killed it
        self.timed_out = timed_out  # there was no answer; the producer may still be running


class PeerKeyMismatch(ProducerLost):
    """The server does not hold the key that signed the record; no request was sent to it."""

    def __init__(self, message: str, key: bytes = b"") -> None:
        super().__init__(message)
        self.key = key  # the key that it holds, if that is an Ed25519 key


class NotJoined(JobError):
    """No neighbour answered."""


class NoProducer(JobError):
    """No producer on the mesh does this.

    Attributes:
        unmet: what the request names that no producer of the service has: "model", "voice",
            "language" or "translation"; else "".
    """

    def __init__(self, message: str, unmet: str = "") -> None:
        super().__init__(message)
        self.unmet = unmet


class AllProducersBusy(JobError):
    """All producers that match were busy until the wait ended."""

    def __init__(self, message: str, attempts: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class AllProducersFailed(JobError):
    """All producers that were tried failed."""

    def __init__(self, message: str, attempts: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class SomeFailed(JobError):
    """Some of several recordings could not be transcribed; each failure has been reported."""
