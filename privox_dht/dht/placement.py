"""Under which keys a publisher announces, once a service has more producers than one key takes.

    few producers      the key itself
    the key has split  the publisher's shard of it, of as many levels as have split; and the key
                       only as one of a sample, that those who want any producer find at once
    a shard that split the same: a small sample there shows the way

The number of producers is estimated at the shard, where no producer gains by staying away: each is
in the sample of the key with probability SAMPLE / number. So a false claim that a key has split
drives no producer away: where there are few, all are in the sample. Pure.
"""

import hashlib
from collections.abc import Iterable

from privox_dht.dht import dht_limits


def sample_draw(publisher: bytes, base: bytes, now: float) -> float:
    """A publisher's draw for the samples of a key: in [0, 1), the same for SAMPLE_KEPT seconds,
    which end at another time for each publisher.

    Args:
        now: seconds since the epoch.
    """
    offset = int.from_bytes(publisher[:4], "big") / (1 << 32)
    epoch = int(now / dht_limits.SAMPLE_KEPT + offset).to_bytes(8, "big")
    digest = hashlib.blake2b(base + publisher + epoch, digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def sampled_levels(draw: float, count: int, level: int) -> list[int]:
    """The levels above its shard at which a publisher announces as well.

    Args:
        draw: its `sample_draw`.
        count: producers in its shard.
        level: how often the key has split to make that shard.
    """
    found = []
    for above in range(level):
        producers = count << dht_limits.SHARD_BITS * (level - above)  # under that key or shard
        if draw * producers < (dht_limits.SAMPLE_BETWEEN if above else dht_limits.SAMPLE):
            found.append(above)
    return found


def is_too_deep(count: int, level: int) -> bool:
    """Whether a shard has so few producers that twice as many would fit a level higher."""
    return level > 0 and 2 * (count << dht_limits.SHARD_BITS) < dht_limits.SPLIT_AT


def estimate(counts: Iterable[int]) -> int:
    """The number of producers by several holders' counts: the lower median, since a holder that
    wants to keep publishers away from a key claims too many."""
    ordered = sorted(counts)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0
