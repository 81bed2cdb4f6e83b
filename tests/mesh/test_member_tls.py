"""TLS among members: who proves the secret is served, and nobody else hears a byte."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator

import pytest
from kit import HOST
from private_kit import hear_tcp

from privox_dht.identity import Identity
from privox_dht.membership import keys
from privox_dht.membership.members import Membership, to_address, to_node
from privox_dht.membership.tls import (
    HELLO,
    RETRY,
    MemberClientContext,
    MemberServerContext,
    NotAMember,
    _ServerPreamble,
)

SECRET = b"a secret of this test"
SERVER = Identity.generate()
TURNS = 16  # of the loop, in which a connection notices its end and closes


@contextlib.asynccontextmanager
async def serving(
    member: Membership | None = None, identity: Identity = SERVER
) -> AsyncIterator[tuple[Membership, int]]:
    """A server that says the same as its caller."""
    member = member or Membership(SECRET, "friends")

    async def echo(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            write.write(await read.read(100))
            await write.drain()
        write.close()

    server = await asyncio.start_server(
        echo, HOST, 0, ssl=MemberServerContext.of(identity, member), ssl_handshake_timeout=2
    )
    port = server.sockets[0].getsockname()[1]
    member.own.ports.add(port)
    try:
        yield member, port
    finally:
        server.close()
        for _ in range(TURNS):
            await asyncio.sleep(0)


async def ask(port: int, member: Membership, destination: bytes) -> bytes:
    context = MemberClientContext.to(destination, member)
    read, write = await asyncio.open_connection(HOST, port, ssl=context, server_hostname="")
    try:
        write.write(b"Good day")
        return await read.read(100)
    finally:
        write.close()


def ours() -> Membership:
    return Membership(SECRET, "friends")


async def test_members_speak_by_key_and_by_address() -> None:
    async with serving() as (member, port):
        assert await ask(port, ours(), to_node(SERVER.public)) == b"Good day"
        assert await ask(port, ours(), to_address((HOST, port))) == b"Good day"
        assert not member.turned_away


@pytest.mark.parametrize(("secret", "network"), [(SECRET + b"!", "friends"), (SECRET, "family")])
async def test_another_secret_or_name_is_cut_off(secret: bytes, network: str) -> None:
    async with serving() as (member, port):
        with pytest.raises(OSError):
            await ask(port, Membership(secret, network), to_node(SERVER.public))
        assert member.turned_away == {"tcp stranger": 1}


async def test_who_is_called_by_another_key_or_address_is_silent() -> None:
    async with serving() as (member, port):
        for destination in (to_node(bytes(32)), to_address((HOST, 1)), to_address(("::1", 1))):
            with pytest.raises(OSError):
                await ask(port, ours(), destination)
        assert member.turned_away == {"tcp elsewhere": 3}


async def test_ordinary_tls_hears_nothing_and_sees_no_certificate() -> None:
    async with serving() as (member, port):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, port, ssl=context)
        assert await hear_tcp(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(HELLO)) == b""
        assert await hear_tcp(port, b"GET / HTTP/1.1\r\n\r\n", seconds=2.5) == b""
        assert member.turned_away["tcp stranger"] == 2


async def test_a_member_says_nothing_to_an_ordinary_server() -> None:
    said, over = asyncio.Queue[bytes](), asyncio.Event()

    async def listen(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        said.put_nowait(await read.read(65536))
        write.write(bytes(4096))
        with contextlib.suppress(OSError):
            await read.read()
        write.close()
        over.set()

    server = await asyncio.start_server(listen, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(NotAMember, match="no member"):
            await ask(port, ours(), to_node(SERVER.public))
        heard = await said.get()
        await over.wait()
    assert b"Good day" not in heard and SERVER.public not in heard


async def test_a_server_with_another_certificate_than_its_welcome_names_hears_nothing() -> None:
    """Somebody in between, who lets a member say the welcome and shows a certificate of his own."""
    member = ours()
    async with serving(member) as (_, port):
        real = MemberServerContext.of(Identity.generate(), member)
        heard = list[bytes]()
        real.public = SERVER.public  # the welcome is the member's, the certificate is not

        async def listen(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                heard.append(await read.read())
            write.close()
            with contextlib.suppress(OSError):
                await write.wait_closed()

        server = await asyncio.start_server(listen, HOST, 0, ssl=real)
        async with server:
            between = server.sockets[0].getsockname()[1]
            with pytest.raises(NotAMember, match="another certificate"):
                await ask(between, ours(), to_node(SERVER.public))
        assert not any(heard)
        assert await ask(port, ours(), to_node(SERVER.public)) == b"Good day"


def flight_of(member: Membership, destination: bytes) -> tuple[bytes, bytes, ssl.SSLObject]:
    """What a client says first: its hello, and the ClientHello after it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = MemberClientContext.to(destination, member).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    said = outgoing.read()
    return said[:HELLO], said[HELLO:], tls


async def test_a_recorded_first_flight_is_answered_once() -> None:
    async with serving() as (member, port):
        hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
        first = await hear_tcp(port, hello, client_hello)
        assert first and SERVER.public not in first and SERVER.peer_id.encode() not in first
        for _ in range(3):
            assert await hear_tcp(port, hello, client_hello) == b""
        assert member.turned_away["tcp replay"] == 3


async def test_a_recorded_first_flight_is_nothing_to_another_server_or_an_hour_later() -> None:
    hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
    async with serving(identity=Identity.generate()) as (other, port):
        assert await hear_tcp(port, hello, client_hello) == b""
        assert other.turned_away == {"tcp elsewhere": 1}
    async with serving() as (member, port):
        then = member.clock
        member.clock = lambda: then() + 3600
        assert await hear_tcp(port, hello, client_hello) == b""
        assert member.turned_away == {"tcp stale": 1}


async def test_a_server_that_started_later_does_not_hear_what_was_recorded_before() -> None:
    hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
    await asyncio.sleep(0.01)  # a message carries milliseconds
    async with serving() as (member, port):
        assert await hear_tcp(port, hello, client_hello) == b""
        assert member.turned_away == {"tcp stale": 1}


async def test_who_stands_in_between_cannot_put_his_own_client_hello_behind_a_hello() -> None:
    """He carries a fresh hello to its server, and wants to go on as if he were its member."""
    async with serving() as (member, port):
        hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
        _, own, _ = flight_of(ours(), to_node(SERVER.public))
        assert len(own) == len(client_hello)
        assert await hear_tcp(port, hello, own) == b""
        assert member.turned_away == {"tcp stranger": 1}


async def test_the_first_flight_may_come_byte_by_byte() -> None:
    async with serving() as (_, port):
        hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
        said = hello + client_hello
        assert await hear_tcp(port, *(said[at : at + 1] for at in range(len(said))), seconds=0.5)


def test_a_second_client_hello_is_asked_of_nobody() -> None:
    """What would come then is not in the hello: somebody in between could make it his own."""
    member, (incoming, outgoing) = ours(), (ssl.MemoryBIO(), ssl.MemoryBIO())
    preamble = _ServerPreamble(MemberServerContext.of(SERVER, member), incoming, outgoing)
    hello, client_hello, _ = flight_of(ours(), to_node(SERVER.public))
    incoming.write(hello + client_hello)
    assert preamble.before()
    outgoing.write(bytes(11) + RETRY + bytes(40))
    with pytest.raises(NotAMember, match="two tries"):
        preamble.after()
    assert not outgoing.pending


def test_the_random_number_that_asks_for_a_retry_is_that_of_the_standard() -> None:
    assert hashlib.sha256(b"HelloRetryRequest").digest() == RETRY


def test_a_client_hello_longer_than_any_is_not_waited_for() -> None:
    member, (incoming, outgoing) = ours(), (ssl.MemoryBIO(), ssl.MemoryBIO())
    preamble = _ServerPreamble(MemberServerContext.of(SERVER, member), incoming, outgoing)
    text = member.now() + to_node(SERVER.public) + b"\xff\xff" + bytes(32)
    incoming.write(keys.seal(member.keys.hello, text))
    with pytest.raises(NotAMember, match="stranger"):
        preamble.before()
