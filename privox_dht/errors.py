"""Everything this project raises, as a tree.

    PrivoxError
      LocalError               our side: what we were told, or what we have, is not right
        ConfigError              a flag, environment variable or file says something impossible
        EngineUnavailable        an engine cannot be used here; `.fix` says how to fix it
      RemoteError              their side: what came over the network is not right
        BadRecord                a record that must be dropped; `.reason` names the counter
        BadMessage               a datagram or relay line that must be dropped; `.reason` likewise
      JobError                 how a job can end other than `done`
        RequestRejected          the input is at fault; `.status` is the HTTP status that says so
        ProducerBusy             nobody is free just now; `.retry_after` says when to ask again
          NoParkedLine             the farm has no line to this producer now
        EngineFailed             the engine broke while it worked
        ProducerLost             the producer (or the route to it) went away in mid-job
          PeerKeyMismatch          whoever answered is not the producer that signed the record
        NotJoined                no neighbour answered: there is no mesh to ask
        NoProducer               the mesh is there, but nobody on it does this
        AllProducersBusy         everybody who could was busy until the wait ended
        AllProducersFailed       everybody who was tried failed; `.attempts` says who and why
        SomeFailed               of several recordings some could not be transcribed

An error is either local or remote. Each layer translates what its libraries raise: above `dht/`
nobody imports kademlia, above `relay/` and `http/` nobody imports aiohttp.
"""

from collections.abc import Sequence


class PrivoxError(Exception):
    """The root: catch this to catch everything that privox_dht raises on purpose."""


class LocalError(PrivoxError):
    """Our side is wrong."""


class ConfigError(LocalError):
    """A flag, an environment variable or a configuration file says something impossible."""


class EngineUnavailable(LocalError):
    """An engine cannot be used on this machine."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(f"{why}; to fix it: {fix}" if fix else why)
        self.why = why
        self.fix = fix


class RemoteError(PrivoxError):
    """Their side is wrong."""


class BadRecord(RemoteError):
    """A capability record that must be dropped."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class BadMessage(RemoteError):
    """A datagram or a relay line that must be dropped."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class JobError(PrivoxError):
    """A job ended in another way than `done`."""

    outcome = "failed"


class RequestRejected(JobError):
    """The input is at fault. A second producer would say the same."""

    outcome = "refused"

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_request",
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after  # seconds after which it would be taken; None: never
        self.status = status
        self.code = code
        self.param = param


class ProducerBusy(JobError):
    """Every slot is in use now. Busy does not mean dead."""

    outcome = "refused"

    def __init__(self, message: str = "every slot is taken", retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoParkedLine(ProducerBusy):
    """The farm has no parked line to this producer now; another route may do."""


class EngineFailed(JobError):
    """The engine broke while it worked."""


class ProducerLost(JobError):
    """The producer, or the way to it, went away before the job was done."""

    outcome = "lost"

    def __init__(self, message: str, *, begun: bool = False, timed_out: bool = False) -> None:
        super().__init__(message)
        self.begun = begun  # the producer had taken the job: what killed it may be the job
        self.timed_out = timed_out  # nothing came: it may be there all the same


class PeerKeyMismatch(ProducerLost):
    """Whoever answered does not hold the key that signed the record; nothing was sent to it."""

    def __init__(self, message: str, key: bytes = b"") -> None:
        super().__init__(message)
        self.key = key  # what it holds instead, if that is a key of our kind


class NotJoined(JobError):
    """No neighbour answered."""


class NoProducer(JobError):
    """Nobody on the mesh does what was asked.

    Attributes:
        unmet: what was named that nobody has, where the service itself is there: "model", "voice",
            "language" or "translation"; else "".
    """

    def __init__(self, message: str, unmet: str = "") -> None:
        super().__init__(message)
        self.unmet = unmet


class AllProducersBusy(JobError):
    """Everybody who could do it was busy until the wait ended."""

    def __init__(self, message: str, attempts: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class AllProducersFailed(JobError):
    """Everybody who was tried failed."""

    def __init__(self, message: str, attempts: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)


class SomeFailed(JobError):
    """Of several recordings some could not be transcribed; why was said of each."""
