"""Messages between a node and its engines' workers, over a real pair of sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from nodes.engines.link import Disconnected, Link, frame

Ends = tuple[Link, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Link(ours), theirs


def test_a_message_arrives_as_it_was_sent_however_it_is_cut(ends: Ends) -> None:
    link, other = ends
    sent = frame({"say": "hello"}, b"sound")
    other.sendall(sent[:3])
    other.sendall(sent[3:] + frame({}))
    assert link.receive() == ({"say": "hello"}, b"sound")
    assert link.receive() == ({}, b"")


def test_files_come_with_the_message_that_they_were_sent_with(ends: Ends) -> None:
    link, other = ends
    reading, writing = os.pipe()
    socket.send_fds(other, [frame({"file": 1})], [writing])
    os.close(writing)
    assert link.receive() == ({"file": 1}, b"")
    (file,) = link.files
    os.write(file, b"through it")
    assert os.read(reading, 99) == b"through it"
    for number in (reading, file):
        os.close(number)


def test_whether_the_other_end_is_there_is_seen_and_nothing_is_read_for_it(ends: Ends) -> None:
    link, other = ends
    gone = [link.disconnected]
    other.sendall(frame({"n": 1}))
    gone.append(link.disconnected)
    assert link.receive() == ({"n": 1}, b"")
    for end in (other, link.socket):
        end.close()
        gone.append(link.disconnected)
    assert gone == [False, False, True, True]


@pytest.mark.parametrize("cut", [0, 2, 10, -1])
def test_an_end_that_goes_in_mid_message_is_gone_and_no_part_of_it_is_taken(
    ends: Ends, cut: int
) -> None:
    link, other = ends
    other.sendall(frame({"say": "hello"}, b"sound")[:cut])
    other.close()
    with pytest.raises(Disconnected):
        link.receive()


def test_nothing_can_be_sent_to_or_read_from_an_end_that_is_gone(ends: Ends) -> None:
    link, other = ends
    other.close()
    with pytest.raises(Disconnected):
        link.send({"n": 1}, bytes(1_000_000))
    link.socket.close()
    with pytest.raises(Disconnected):
        link.receive()
