"""A job that requests a slot: what admission needs to know of it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.errors import JobError, ProducerBusy
from privox_dht.quotas import Prefixes


@dataclass(slots=True, eq=False)
class Offer:
    """A job that requests a slot."""

    prefixes: Prefixes = ()  # the networks its client counts for, see `quotas`
    wait: float = 0.0  # seconds it may wait in a queue
    uploading: bool = False  # its body has not ended
    received: int = 0  # bytes of its body so far
    sent: int = 0  # bytes of its answer, once that has been sent
    body: int | None = None  # bytes of its body, if its headers tell
    peer: str = ""  # the peer id that its client has proved; empty: anonymous
    own: bool = False  # a job of this machine's owner
    client: str = ""  # the name of its API key; empty: none
    seconds: float = 0.0  # of its sound, once known
    producers: tuple[str, ...] = ()  # peer ids of the producers that do it, once known
    extra_slot: bool = False  # it has the extra slot for short jobs
    too_long: bool = False  # it has the extra slot, and turned out to be too long for it
    end_upload: Callable[[JobError], None] = lambda error: None  # end it with this error

    def check_length(self, seconds: float) -> None:
        """Set its length once it is known.

        Raises:
            ProducerBusy: too long for the extra slot.
        """
        self.seconds = seconds
        if self.extra_slot and seconds > limits.SHORT_JOB_SECONDS:
            self.too_long = True
            raise ProducerBusy(
                "all slots are taken, but for jobs of at most"
                f" {limits.SHORT_JOB_SECONDS:.0f} s; this one has {seconds:.0f} s",
                limits.RETRY_AFTER,
            )
