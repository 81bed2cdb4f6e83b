"""What `privox-client list` and `voices` print of what they found."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from client import listing
from privox_dht.records import Direct, Record, Route
from privox_dht.voices import Voices

HERE = Direct("127.0.0.1", 5678)
NOWHERE = Direct("192.0.2.1", 5678), Direct("2001:db8::1", 5678)


class Mesh:
    """One that finds what it is told to."""

    def __init__(self, records: Sequence[Record] = (), clock: str = "") -> None:
        self.records, self.clock = records, clock
        self.found: Voices

    async def producers(self) -> list[Record]:
        return list(self.records)

    async def voices(self) -> Voices:
        return self.found

    def clock_advice(self) -> str:
        return self.clock


class Config:
    """Of a client that lists."""

    def __init__(self, mesh: Mesh, *, as_json: bool = False, limit: int = 50) -> None:
        self.mesh, self.as_json, self.limit = mesh, as_json, limit

    @asynccontextmanager
    async def open_mesh(self) -> AsyncIterator[Mesh]:
        yield self.mesh


def record(name: str, *routes: Route) -> Record:
    return Record(
        name.encode().ljust(32), b"m" * 8, "stt", engine="echo", routes=routes, slots=2, idle=1,
        issued=int(time.time()),
    )  # fmt: skip


async def listed(config: Any, capfdbinary: Any) -> tuple[str, str]:
    await listing.show(config)
    out, err = capfdbinary.readouterr()
    return out.decode(), err.decode()


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a way to itself alone."""
    monkeypatch.setattr(listing, "has_route", lambda host: host == HERE.host)


@pytest.mark.usefixtures("only_loopback")
async def test_the_first_records_are_a_table_and_what_hinders_is_said_beside_it(
    capfdbinary: Any,
) -> None:
    mesh = Mesh(
        [record("a", HERE), record("b", *NOWHERE), record("c")], "your clock is an hour late"
    )
    out, err = await listed(Config(mesh, limit=2), capfdbinary)
    head, *rows = out.splitlines()
    assert head.split()[:3] == ["PEER", "SERVICE", "ENGINE"] and len(rows) == 2
    assert rows[0].split()[1:6] == ["stt/cpu", "echo", "1", "of", "2"]
    assert "your clock is an hour late" in err and "(1 more: --limit)" in err
    assert "1 of 2 with an address have IPv4 or IPv6 only, which this machine has not" in err


@pytest.mark.usefixtures("only_loopback")
async def test_in_json_all_that_hinders_has_a_name(capfdbinary: Any) -> None:
    mesh = Mesh([record("a", NOWHERE[1])], "late")
    out, err = await listed(Config(mesh, as_json=True), capfdbinary)
    told = json.loads(out)
    assert (told["found"], told["clock"], err) == (1, "late", "")
    assert told["family"].startswith("1 of 1 with an address have IPv6 only")
    plain = json.loads((await listed(Config(Mesh(), as_json=True), capfdbinary))[0])
    assert plain == {"found": 0, "records": []}


async def test_an_empty_mesh_is_no_empty_table(capfdbinary: Any) -> None:
    out, err = await listed(Config(Mesh(clock="late")), capfdbinary)
    assert out == "" and "no producers are online" in err and "late" in err


async def test_voices_are_listed_and_who_kept_silent_is_named(capfdbinary: Any) -> None:
    mesh = Mesh()
    mesh.found = Voices(
        {("amy", "piper"): ("peer-of-amy",)}, {("amy", "piper"): "en-US"}, ("mute",)
    )
    await listing.show_voices(Config(mesh))  # type: ignore[arg-type]
    out, err = capfdbinary.readouterr()
    assert out.decode().splitlines()[1].split() == ["amy", "en-US", "piper", "peer-of-"]
    assert b"(not complete: mute did not say" in err
    await listing.show_voices(Config(mesh, as_json=True))  # type: ignore[arg-type]
    told = json.loads(capfdbinary.readouterr().out)
    [voice] = told["voices"]
    assert (told["found"], told["silent"]) == (1, ["mute"])
    assert voice == {
        "voice": "amy", "engine": "piper", "language": "en-US", "producers": ["peer-of-amy"]
    }  # fmt: skip
    mesh.found = Voices({}, {}, ())
    await listing.show_voices(Config(mesh))  # type: ignore[arg-type]
    assert b"no producer on the mesh has a voice" in capfdbinary.readouterr().err
