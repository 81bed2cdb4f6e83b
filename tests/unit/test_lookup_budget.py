"""What a look-up may cost, and what may go to addresses that have never answered."""

from privox_dht import limits
from privox_dht.dht import answer_codec, dht_limits, request_codec, wire
from privox_dht.dht.compact_nodes import CompactNode, pack_peers
from privox_dht.dht.lookup_budget import Budget, Credit

MESH, TOKEN = b"m" * 8, b"t" * wire.TOKEN


def test_a_budget_is_spent_by_all_who_share_it() -> None:
    budget = Budget(limits.FIND_WANT, 100.0)
    most = dht_limits.LOOKUP_REQUESTS + limits.FIND_WANT
    assert budget.take(most - 1) == most - 1
    assert budget.take(5) == 1 and budget.take(5) == 0


def test_who_wants_everybody_has_more_time_and_a_walk_to_each_shard() -> None:
    few, many = Budget(limits.FIND_WANT, 0.0), Budget(20_000, 0.0)
    assert many.requests - 20_000 - few.requests + limits.FIND_WANT == dht_limits.SHARD_REQUESTS
    assert few.deadline < dht_limits.LOOKUP_TIME + 1 < limits.RESOLVER_TIMEOUT
    assert many.deadline > 60


def test_credit_lasts_for_five_times_what_an_answer_weighed() -> None:
    named = [CompactNode(bytes(20), ("20.0.0.1", 5)) for _ in range(3)]
    pong = {"k": bytes(32), "s": bytes(64), "o": b"\1\2\3\4\5\6", "n": 5}
    found = answer_codec.read_found({"t": TOKEN, "r": [b"x" * 100], "p": pong, **pack_peers(named)})
    assert found.weight == wire.HEADER + 3 * 26 + 100 + 32 + 64
    credit = Credit(found.weight)
    assert not credit.pay(dht_limits.MAX_REFLECTION * found.weight + 1)
    assert credit.pay(dht_limits.MAX_REFLECTION * found.weight) and credit.left == 0


def test_naming_one_is_worth_asking_it_in_short_and_no_more() -> None:
    """Else an answer of fifty bytes would send five hundred to an address of its choosing."""
    one = answer_codec.read_found(
        {"t": TOKEN, **pack_peers([CompactNode(bytes(20), ("20.0.0.1", 5))])}
    )
    credit = Credit(one.weight)
    assert request_codec.BARE_FIND <= credit.left < dht_limits.FIND_SIZE // 2


def test_a_find_in_short_is_no_longer_than_it_is_said_to_be() -> None:
    body = request_codec.request_body("find", bytes(20), 7, b"", [bytes(20), 255, -1], 0)
    assert len(wire.frame(MESH, wire.REQUEST, bytes(8), body)) <= request_codec.BARE_FIND


def test_a_retry_is_shorter_than_any_question_it_answers() -> None:
    datagram = wire.frame(MESH, wire.ANSWER, bytes(8), answer_codec.retry(TOKEN))
    assert len(datagram) == answer_codec.RETRY_SIZE
    assert answer_codec.read_retry(answer_codec.retry(TOKEN)) == TOKEN
    assert answer_codec.read_retry({"t": TOKEN}) == answer_codec.read_retry([1]) == b""


def test_a_question_asked_again_shows_the_token_and_is_otherwise_the_same() -> None:
    body = request_codec.request_body("find", b"s" * 20, 7, b"", [b"k" * 20, 3, -1], 480)
    asked = wire.frame(MESH, wire.REQUEST, b"message!", body)
    again = request_codec.with_token(MESH, asked, TOKEN)
    kind, message, packed = wire.unframe(MESH, again)
    request = request_codec.read_request(wire.unpack(packed))
    assert (kind, message) == (wire.REQUEST, b"message!") and len(again) < 120
    assert request == request_codec.Request("find", b"s" * 20, 7, TOKEN, [b"k" * 20, 3, -1])


def test_a_question_asked_again_in_short_challenges_nobody() -> None:
    challenge = b"n" * wire.NONCE + b"\1\2\3\4\5\6"
    body = request_codec.request_body(
        "find", b"s" * 20, 7, b"", [b"k" * 20, 255, -1, challenge], 480
    )
    again = request_codec.in_short(MESH, wire.frame(MESH, wire.REQUEST, b"message!", body))
    request = request_codec.read_request(wire.unpack(wire.unframe(MESH, again)[2]))
    assert request == request_codec.Request("find", b"s" * 20, 7, b"", [b"k" * 20, 255, -1])
    assert len(again) <= request_codec.BARE_FIND
