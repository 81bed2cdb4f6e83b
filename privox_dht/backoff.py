"""Exponential back-off: wait longer after each failure in a row, up to a bound. Pure.

With `rng` the wait is drawn from its upper half ("equal jitter", see M. Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015), so that clients that failed at the same time do
not retry at the same time.
"""

import random

MAX_DOUBLINGS = 30  # beyond it every bound in this project is reached; floats must not overflow


def backoff(failures: int, first: float, longest: float, rng: random.Random | None = None) -> float:
    """Seconds to wait after so many failures in a row; 0.0 after none.

    Args:
        failures: how many there were.
        first: seconds after the first failure; doubled after each further one.
        longest: seconds at most.
        rng: random numbers; None: no jitter.
    """
    if failures <= 0:
        return 0.0
    wait = min(longest, first * 2.0 ** min(failures - 1, MAX_DOUBLINGS))
    return wait * rng.uniform(0.5, 1.0) if rng else wait
