"""What a farm's switchboard wants done, and the one way in which it says no."""

from collections.abc import Hashable
from dataclasses import dataclass

from privox_dht.errors import RemoteError
from privox_dht.relay.messages import Message


@dataclass(frozen=True, slots=True)
class Send:
    """Say this on that control line."""

    to: Hashable
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close that connection at once."""

    who: Hashable
    why: str  # one word, counted
    gently: bool = False  # after what was said to it has left


Effects = list[Send | Close]


class Rejected(RemoteError):
    """Somebody asks for what they cannot have; `.why` is one word, `.wait` seconds to stay away."""

    def __init__(self, why: str, wait: int = 0) -> None:
        super().__init__(f"refused: {why}")
        self.why = why
        self.wait = wait
