"""Strangers at a farm's door, and farms that are not what they say."""

import asyncio
import os
import socket
import ssl
import sys
import time
from contextlib import closing

import aiohttp
import pytest
from kit import HOST, turns, until
from relay_kit import HURRY, Raw, at, call_for, connect, farm_of, parked, post, relayed, serving

from privox_dht.identity import Identity
from privox_dht.relay import Farm, FarmLimits, Timeouts, messages, relay_limits

FARM = Identity.generate()
ELSEWHERE = "127.0.0.2"  # another address of this machine; only Linux has it without asking
NONCE, INSTANCE = bytes(32), bytes(8)
GARBAGE = [
    b"\r\n\r\n",
    b"\0" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST http://127.0.0.1:22/ HTTP/1.1\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n",
    b"CONNECT localhost:443 HTTP/1.1\r\n\r\n",
    b"CONNECT " + b"a" * 52 + b".privox:443 HTTP/1.1\r\n\r\n",
    b"PARK x PRIVOX/1\r\n\r\n",
    b"PARK " + b"0" * 32 + b" PRIVOX/1\r\n\r\n",
    b"CONTROL " + b"0" * 64 + b" PRIVOX/9\r\n\r\n",
    b"CONTROL " + b"0" * 64 + b" PRIVOX/1\r\n\r\nhello\n",
    b"CONTROL " + b"0" * 64 + b" PRIVOX/1\r\n\r\n" + b"x" * 600,
    b"CONTROL " + b"0" * 64 + b" PRIVOX/1\r\n\r\nping\n",
    b"\x16\x03\x01" + bytes(range(256)),
    b"x" * 5000,
    b"\r\n" * 3000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda g: repr(g[:24]))
async def test_garbage_at_the_door_ends_the_connection_and_nothing_else(garbage: bytes) -> None:
    async with (
        serving() as served,
        farm_of(FARM, timeouts=HURRY) as farm,
        parked(served, farm, FARM, timeouts=HURRY),
    ):
        stranger = await connect(farm)
        stranger.say(garbage)
        await stranger.over()
        stranger.close()
        assert (await post(relayed(farm, served, "/count")))["bytes"] == 4


async def test_a_head_that_drips_or_never_comes_is_dropped_in_time() -> None:
    async with farm_of(FARM, timeouts=HURRY) as farm:
        silent, dripping = await connect(farm), await connect(farm)
        dripping.say(b"CONNECT ")
        assert await silent.over(2) == await dripping.over(2) == b""
        assert farm.stats()["dropped"] == {"late": 2}
        silent.close()
        dripping.close()


async def test_a_proof_that_never_comes_is_dropped_in_time() -> None:
    async with farm_of(FARM, timeouts=HURRY) as farm:
        stranger = await connect(farm)
        stranger.say(messages.control(NONCE))
        assert (await stranger.line()).startswith(b"challenge ")
        assert await stranger.over(2) == b""
        stranger.close()


async def introduced(farm: Farm, me: Identity) -> Raw:
    """A control line of `me`, up to and with its proof."""
    stranger = await connect(farm)
    stranger.say(messages.control(NONCE))
    theirs = bytes.fromhex((await stranger.line()).split()[1].decode())
    stranger.say(messages.encode(messages.prove(me, FARM.public, theirs, NONCE, INSTANCE)))
    return stranger


async def test_nobody_parks_under_anothers_key() -> None:
    thief, victim = Identity.generate(), Identity.generate()
    async with farm_of(FARM) as farm:
        stranger = await connect(farm)
        stranger.say(messages.control(NONCE))
        theirs = bytes.fromhex((await stranger.line()).split()[1].decode())
        word, _, *rest = messages.prove(thief, FARM.public, theirs, NONCE, INSTANCE)
        stranger.say(messages.encode((word, victim.public.hex(), *rest)))
        assert await stranger.over() == b"refused proof 0\n"
        assert farm.stats()["producers"] == 0
        stranger.close()


async def test_a_proof_is_good_for_one_challenge_only() -> None:
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        first, second = await connect(farm), await connect(farm)
        for stranger in (first, second):
            stranger.say(messages.control(NONCE))
        theirs = bytes.fromhex((await first.line()).split()[1].decode())
        await second.line()
        proof = messages.encode(messages.prove(me, FARM.public, theirs, NONCE, INSTANCE))
        first.say(proof)
        assert await first.line() == b"granted 3 64\n"
        second.say(proof)
        assert await second.over() == b"refused proof 0\n"
        first.close()
        second.close()


async def test_a_token_parks_one_line_once() -> None:
    async with farm_of(FARM) as farm:
        control = await introduced(farm, Identity.generate())
        await control.line()
        token = (await control.line()).split()[1].decode()
        first, replay = await connect(farm), await connect(farm)
        first.say(messages.park(token))
        await until(lambda: farm.stats()["parked"] == 1)
        replay.say(messages.park(token))
        assert await replay.over() == b""
        assert farm.stats()["parked"] == 1
        for raw in (control, first, replay):
            raw.close()


async def test_a_token_dies_with_its_control_line() -> None:
    async with farm_of(FARM) as farm:
        control = await introduced(farm, Identity.generate())
        await control.line()
        token = (await control.line()).split()[1].decode()
        control.close()
        await until(lambda: farm.stats()["producers"] == 0)
        late = await connect(farm)
        late.say(messages.park(token))
        assert await late.over() == b""
        late.close()


async def test_a_parked_line_that_speaks_is_dropped() -> None:
    async with farm_of(FARM) as farm:
        control = await introduced(farm, Identity.generate())
        await control.line()
        line = await connect(farm)
        line.say(messages.park((await control.line()).split()[1].decode()))
        await until(lambda: farm.stats()["parked"] == 1)
        line.say(b"HTTP/1.1 200 OK\r\n\r\n")
        assert await line.over() == b""
        await until(lambda: farm.stats()["parked"] == 0)
        control.close()
        line.close()


async def test_a_producer_that_floods_its_control_line_is_closed() -> None:
    """A megabyte of pings held up all calls of a farm for half a second, again and again."""
    async with (
        serving() as served,
        farm_of(FARM) as farm,
        parked(served, farm, FARM) as parking,
    ):
        stranger = await introduced(farm, Identity.generate())
        stranger.say(b"ping\n" * 200_000)
        await stranger.over()
        assert farm.stats()["dropped"]["flood"] == 1  # type: ignore[index]
        stranger.close()
        assert parking.state == "parked"


# -- farms that are not what they say ------------------------------------------------------------


async def hostile_farm(answers: list[bytes]) -> tuple[asyncio.Server, int, list[bytes]]:
    """Something that says `answers`, one for each thing it hears, and keeps what it heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            heard.append(await reader.read(4096))
            writer.write(answer)
        heard.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    return server, server.sockets[0].getsockname()[1], heard


async def test_a_challenge_passed_on_by_a_hostile_farm_is_not_answered() -> None:
    """A hostile farm passes our nonce to an honest one, and the honest challenge back to us."""
    hostile = Identity.generate()
    async with serving() as served, farm_of(FARM) as honest:

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(HOST, honest.port)
            back.write(await reader.read(4096))
            writer.write(await there.readline())
            told.set_result(await reader.read(4096))
            for side in (back, writer):
                side.close()

        told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(pass_on, HOST, 0)
        server.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        async with at(served, server, hostile):  # type: ignore[arg-type]
            async with asyncio.timeout(5):
                assert await told == b"", "the producer signs nothing for it"
        assert honest.stats()["producers"] == 0
        server.close()


async def test_what_a_producer_signs_for_a_hostile_farm_is_worth_nothing_elsewhere() -> None:
    """A hostile farm signs the honest one's nonce itself, to get it signed by a producer."""
    hostile = Identity.generate()
    async with serving() as served, farm_of(FARM) as honest:

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(HOST, honest.port)
            asked = await reader.read(4096)
            back.write(asked)
            nonce = bytes.fromhex((await there.readline()).split()[1].decode())
            theirs = bytes.fromhex(asked.split()[1].decode())
            writer.write(messages.encode(messages.challenge(hostile, theirs, nonce)))
            back.write(await reader.read(4096))
            said.set_result(await there.read(4096))
            for side in (back, writer):
                side.close()

        said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(pass_on, HOST, 0)
        server.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        async with at(served, server, hostile):  # type: ignore[arg-type]
            async with asyncio.timeout(5):
                assert await said == b"refused proof 0\n"
        assert honest.stats()["producers"] == 0
        server.close()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"ping\n", b"\0" * 2000, b"granted 3 64\n", b"refused x 1\n", b""],
)
async def test_a_producer_survives_whatever_a_farm_says(answer: bytes) -> None:
    server, port, _ = await hostile_farm([answer])
    async with serving() as served:
        server.port = port  # type: ignore[attr-defined]
        parking = at(served, server, FARM, timeouts=HURRY)  # type: ignore[arg-type]
        async with parking:
            await until(lambda: parking.state in ("lost", "refused"))
            assert parking.why
    server.close()


async def test_a_farm_cannot_make_a_producer_open_lines_without_end() -> None:
    tokens = b"".join(messages.encode(("token", os.urandom(16).hex())) for _ in range(200))
    opened: list[bytes] = []
    control: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PARK"):
            opened.append(head)
            control[0].write(b"parked " + head.split()[1] + b"\n")
        else:
            control.append(writer)
            nonce = bytes.fromhex(head.split()[1].decode())
            writer.write(messages.encode(messages.challenge(FARM, nonce, bytes(32))))
            await reader.readline()
            writer.write(b"granted 500 500\n" + tokens)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    server.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    async with serving() as served, at(served, server, FARM):  # type: ignore[arg-type]
        await until(lambda: len(opened) >= relay_limits.PRODUCER_IDLE_LINES)
        await turns()
        assert len(opened) == relay_limits.PRODUCER_IDLE_LINES
    server.close()


async def test_a_farm_that_lets_no_line_be_parked_is_left_for_another() -> None:
    """It has room for the control line and none for lines, or a firewall lets one connection
    through: whoever came to two such farms could be called by nobody, though others had room."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"CONTROL"):
            nonce = bytes.fromhex(head.split()[1].decode())
            writer.write(messages.encode(messages.challenge(FARM, nonce, bytes(32))))
            await reader.readline()
            writer.write(b"granted 3 64\n")
            while not writer.is_closing():
                writer.write(messages.encode(("token", os.urandom(16).hex())) + b"ping\n")
                if not await reader.readline():
                    break
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    server.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    async with serving() as served:
        parking = at(served, server, FARM, timeouts=HURRY)  # type: ignore[arg-type]
        async with parking:
            await until(lambda: parking.state == "lost", 5.0)
            assert parking.why.endswith("lets no line be parked")
    server.close()


# -- callers that only want to hold lines --------------------------------------------------------


async def hold(farm: Farm, call: bytes, count: int) -> list[Raw]:
    """`count` calls at once, from one address."""
    held = await asyncio.gather(*(connect(farm) for _ in range(count)))
    for stranger in held:
        stranger.say(call)
    return held


async def served_within(farm: Farm, call: dict[str, object], seconds: float) -> float:
    """A client at another address, which asks again when there is no line just now."""
    began = time.monotonic()
    connector = aiohttp.TCPConnector(local_addr=(ELSEWHERE, 0), force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(seconds):
        while True:
            try:
                async with session.post(data=b"word", **call) as answer:  # type: ignore[arg-type]
                    assert (await answer.json())["bytes"] == 4
                    return time.monotonic() - began
            except aiohttp.ClientHttpProxyError as exc:
                assert exc.status == 503
                await asyncio.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="a second loopback address is Linux's")
@pytest.mark.parametrize(
    "then", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], ids=["silent claims", "half handshakes"]
)
async def test_a_hundred_claims_of_nobody_do_not_keep_a_client_waiting_for_five_seconds(
    then: bytes,
) -> None:
    terms = FarmLimits()
    async with (
        serving() as served,
        Farm(FARM, host=HOST, port=0, terms=terms) as farm,
        parked(served, farm, FARM),
    ):
        held = await hold(farm, call_for(served) + then, 100)
        took = await served_within(farm, relayed(farm, served, "/count"), 5)
        assert took < 5
        calls = farm.stats()["calls"]
        assert isinstance(calls, int) and calls <= terms.calls_per_address + 1  # and the client's
        for stranger in held:
            stranger.close()
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)


async def test_a_silent_claim_is_dropped_by_the_farm_and_the_line_is_replaced() -> None:
    timeouts = Timeouts(first_byte=0.3)
    async with (
        serving() as served,
        farm_of(FARM, timeouts=timeouts) as farm,
        parked(served, farm, FARM),
    ):
        stranger = await connect(farm)
        stranger.say(call_for(served))
        assert (await stranger.head()).startswith(b"HTTP/1.1 200")
        assert await stranger.over(2) == b""
        assert farm.stats()["dropped"]["silent"] == 2  # type: ignore[index]
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)
        stranger.close()


async def test_a_half_handshake_is_dropped_by_the_producer_and_the_line_is_replaced() -> None:
    timeouts = Timeouts(handshake=0.3)
    async with (
        serving() as served,
        farm_of(FARM) as farm,
        parked(served, farm, FARM, timeouts=timeouts),
    ):
        stranger = await connect(farm)
        stranger.say(call_for(served) + b"\x16\x03\x01\x02\x00\x01")
        assert (await stranger.head()).startswith(b"HTTP/1.1 200")
        assert await stranger.over(2) == b""
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)
        stranger.close()


async def test_garbage_instead_of_tls_ends_the_call_and_the_line_is_replaced() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n",
            bytes(range(256)) * 4,
            b"\x15\x03\x03\x00\x02\x02\x00",
        ):
            stranger = await connect(farm)
            stranger.say(call_for(served) + garbage)
            await stranger.over()
            stranger.close()
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)
        assert (await post(relayed(farm, served, "/count")))["bytes"] == 4


async def test_a_caller_that_never_ends_its_tls_gives_the_line_back() -> None:
    """asyncio waits 30 s for the other side's farewell: so a stranger held a line for 40 s that
    an idle connection has for ten."""
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        caller = socket.create_connection((HOST, farm.port))
        with closing(await asyncio.to_thread(one_request, caller, call_for(served))):
            await until(lambda: farm.stats()["calls"] == 0, 5.0)


def one_request(caller: socket.socket, call: bytes) -> ssl.SSLSocket:
    """A connection through a farm whose one answer has been read to its end; it stays open."""
    caller.sendall(call)
    while not caller.recv(4096).endswith(b"\r\n\r\n"):
        pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_socket(caller, suppress_ragged_eofs=False)
    tls.sendall(b"GET /zeros/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    while tls.recv(4096):
        pass
    return tls


@pytest.mark.soak
async def test_a_storm_of_claims_from_many_addresses_leaves_the_producer_callable() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for _ in range(200):
            held = await hold(farm, call_for(served), 100)
            for stranger in held:
                stranger.close()
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3, 30)
        assert (await post(relayed(farm, served, "/count")))["bytes"] == 4
