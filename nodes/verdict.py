"""What one probe of `privox-node doctor` found."""

from __future__ import annotations

from dataclasses import dataclass

YES, PARTLY, NO, UNKNOWN, LATE = "yes", "in part", "NO", "unknown", "not in time"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one probe found."""

    probe: str
    found: str  # one of YES, PARTLY, NO, UNKNOWN, LATE
    detail: str = ""
    advice: str = ""
