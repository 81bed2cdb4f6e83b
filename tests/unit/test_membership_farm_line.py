"""What is said to a farm of a private mesh."""

import pytest

from privox_dht.errors import BadMessage
from privox_dht.identity import Identity
from privox_dht.membership import farm_line
from privox_dht.membership.farm_line import SealedLine
from privox_dht.membership.members import Membership, to_node
from privox_dht.relay import messages
from privox_dht.relay.relay_limits import FarmLimits

FARM, OTHER = Identity.generate(), Identity.generate()


def member(secret: bytes = b"sixteen bytes or more") -> Membership:
    return Membership(secret, "friends")


def test_every_head_and_every_answer_has_room() -> None:
    ours = member()
    heads = (
        f"CONNECT {FARM.peer_id}.privox:443 HTTP/1.1\r\n\r\n".encode(),
        messages.park("0" * 32),
        messages.control(bytes(32)),
    )
    answers = (messages.accepted(FarmLimits()), *map(messages.refusal, messages.REFUSALS))
    for head in heads:
        asked = farm_line.request(ours, to_node(FARM.public), head)
        assert len(asked) == farm_line.REQUEST
        assert farm_line.read_request(ours, asked, FARM.public) == head
        assert messages.read_head(head)
    for answer in answers:
        said = farm_line.response(ours, asked, answer)
        assert len(said) == farm_line.RESPONSE
        assert farm_line.read_response(ours, asked, said) == answer


def test_a_request_is_heard_once_by_the_farm_it_is_for() -> None:
    ours = member()
    asked = farm_line.request(ours, to_node(FARM.public), messages.park("0" * 32))
    with pytest.raises(BadMessage, match="elsewhere"):
        farm_line.read_request(ours, asked, OTHER.public)
    farm_line.read_request(ours, asked, FARM.public)
    with pytest.raises(BadMessage, match="replay"):
        farm_line.read_request(ours, asked, FARM.public)
    with pytest.raises(BadMessage, match="stranger"):
        farm_line.read_request(member(b"another secret of a mesh"), asked, FARM.public)


def test_an_answer_belongs_to_its_request() -> None:
    ours = member()
    one, two = (farm_line.request(ours, to_node(FARM.public), b"head") for _ in range(2))
    said = farm_line.response(ours, one, b"answer")
    with pytest.raises(BadMessage, match="stranger"):
        farm_line.read_response(ours, two, said)


def test_frames_come_in_order_once_and_each_way_has_its_key() -> None:
    ours = member()
    asked = farm_line.request(ours, to_node(FARM.public), messages.control(bytes(32)))
    farm, producer = (SealedLine(ours, asked, is_farm=is_farm) for is_farm in (True, False))
    one, two = farm.seal(b"ping\n"), farm.seal(b"full\n")
    assert b"ping" not in one
    together = one + two
    heard = b"".join(producer.decrypt(together[at : at + 1]) for at in range(len(together)))
    assert heard == b"ping\nfull\n"
    for again in (one, two):
        with pytest.raises(BadMessage, match="stranger"):
            SealedLine(ours, asked, is_farm=False).decrypt(two)
        with pytest.raises(BadMessage, match="stranger"):
            producer.decrypt(again)
    with pytest.raises(BadMessage, match="stranger"):
        farm.decrypt(one)  # its own words, sent back


def test_a_frame_longer_than_any_is_not_waited_for() -> None:
    ours = member()
    asked = farm_line.request(ours, to_node(FARM.public), b"head")
    line = SealedLine(ours, asked, is_farm=True)
    assert line.decrypt((farm_line.FRAME - farm_line.LENGTH).to_bytes(2, "big")) == b""
    with pytest.raises(BadMessage, match="long"):
        SealedLine(ours, asked, is_farm=True).decrypt(b"\xff\xff")


def test_frames_of_another_line_are_strange() -> None:
    ours = member()
    asked = [farm_line.request(ours, to_node(FARM.public), b"head") for _ in range(2)]
    said = SealedLine(ours, asked[0], is_farm=True).seal(b"ping\n")
    with pytest.raises(BadMessage, match="stranger"):
        SealedLine(ours, asked[1], is_farm=False).decrypt(said)
