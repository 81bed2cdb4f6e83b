"""Calls through a farm, as users make them."""

import asyncio
import shutil

import aiohttp
import pytest
from kit import HOST, until
from relay_kit import farm_of, get, parked, post, relayed, serving

from bench.relay_parts import Pin
from privox_dht.identity import Identity, pin_of
from privox_dht.relay import FarmLimits

FARM = Identity.generate()


async def test_a_client_calls_a_parked_producer_through_the_farm() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        answer = await post(relayed(farm, served, "/count"), bytes(100_000))
        assert answer == {"bytes": 100_000, "key": served.identity.peer_id}


async def test_one_client_after_the_other_finds_a_line() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for n in range(20):
            assert (await post(relayed(farm, served, "/count"), bytes(n)))["bytes"] == n
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)
        assert farm.stats()["calls_total"] == 20


async def test_another_key_is_refused_before_a_byte_of_the_job() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        call = {**relayed(farm, served, "/count"), "ssl": Pin(bytes(32))}
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await post(call, b"private")
        await until(lambda: farm.stats()["calls"] == 0)
        assert served.bodies == []


async def test_curl_calls_through_the_farm_and_refuses_a_wrong_pin() -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl here")
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for pin, code in ((pin_of(served.identity.public), 0), (pin_of(FARM.public), 90)):
            process = await asyncio.create_subprocess_exec(
                curl, "-sS", "--insecure", "--proxy", f"http://{HOST}:{farm.port}",
                "--pinnedpubkey", pin, "--data", "word", "--max-time", "10",
                f"https://{served.identity.peer_id}.privox/count",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            said, complaint = await process.communicate()
            assert process.returncode == code, complaint
            assert (b'"bytes": 4' in said) == (code == 0)
        assert served.bodies == [4]


async def test_answers_from_either_side_arrive_whole_at_both_sizes() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for size in (1, 1_000_000):
            assert len(await get(relayed(farm, served, f"/zeros/{size}"))) == size
            answer = await post(relayed(farm, served, "/count"), bytes(size))
            assert answer["bytes"] == size


async def test_a_client_that_hangs_up_leaves_the_producer_idle_at_once() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        job = asyncio.ensure_future(get(relayed(farm, served, "/forever")))
        await served.began.wait()
        job.cancel()
        async with asyncio.timeout(1):
            await served.left.wait()
        await until(lambda: farm.stats()["calls"] == 0)


async def test_the_answer_to_a_call_names_its_limits() -> None:
    terms = FarmLimits(call_bytes=1_000_000, call_seconds=77)
    async with serving() as served, farm_of(FARM, terms=terms) as farm, parked(served, farm, FARM):
        reader, writer = await asyncio.open_connection(HOST, farm.port)
        writer.write(f"CONNECT {served.identity.peer_id}.privox:443 HTTP/1.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Privox-Call-Bytes: 1000000\r\nPrivox-Call-Seconds: 77\r\n" in head


async def test_a_call_may_carry_no_more_than_the_terms_say() -> None:
    terms = FarmLimits(call_bytes=1_000_000)
    async with serving() as served, farm_of(FARM, terms=terms) as farm, parked(served, farm, FARM):
        with pytest.raises(aiohttp.ClientError):
            await get(relayed(farm, served, "/zeros/10000000"))
        await until(lambda: farm.stats()["calls"] == 0)
        assert farm.stats()["dropped"] == {"bytes": 2}
