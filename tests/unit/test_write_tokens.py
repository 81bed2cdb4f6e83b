"""Who has shown that it is where it says."""

import random

from privox_dht.addresses import pack_address
from privox_dht.dht import dht_limits
from privox_dht.dht.write_tokens import WriteTokens

HERE, THERE = pack_address("1.2.3.4", 5), pack_address("1.2.3.4", 6)


def test_a_token_proves_the_address_it_was_given_to() -> None:
    tokens = WriteTokens(random.Random(1))
    token = tokens.give(HERE, 1_000.0)
    assert tokens.proves(token, HERE, 1_000.0)
    assert not tokens.proves(token, THERE, 1_000.0)
    assert not tokens.proves(b"", HERE, 1_000.0) and not tokens.proves(b"x" * 8, HERE, 1_000.0)


def test_a_token_is_good_for_five_to_ten_minutes() -> None:
    tokens = WriteTokens(random.Random(1))
    token = tokens.give(HERE, 299.0)
    assert tokens.proves(token, HERE, 299.0 + 300) and not tokens.proves(token, HERE, 299.0 + 601)
    assert (
        dht_limits.HOLDERS_KEPT < dht_limits.TOKEN_ROTATION
    )  # a publisher relies on its tokens so long


def test_tokens_of_one_node_mean_nothing_to_another() -> None:
    one, other = WriteTokens(random.Random(1)), WriteTokens(random.Random(2))
    assert not other.proves(one.give(HERE, 0.0), HERE, 0.0)
