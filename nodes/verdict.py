"""What one probe of `privox-node doctor` found."""

from dataclasses import dataclass

YES, PARTLY, LIKELY, NO = "yes", "in part", "likely", "NO"
UNKNOWN, LATE = "unknown", "not in time"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one probe found."""

    probe: str
    found: str  # one of those above
    detail: str = ""
    advice: str = ""
