"""`privox-client list`: the producers and farms on the mesh."""

import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

from client.config import ClientConfig
from client.files import STDIO, write
from privox_dht.cli.output import sanitize, say
from privox_dht.identity import Identity, peer_id_of, pin_of
from privox_dht.interfaces import has_route
from privox_dht.records import FARM, Direct, Record

HEADINGS = ("PEER", "SERVICE", "ENGINE", "MODELS OR VOICES", "LANGUAGES", "IDLE", "SPEED", "ROUTE",
            "AGE")  # fmt: skip
SHOWN = 3  # models and languages shown in a cell of the table; --json has all


async def show_identity(config: ClientConfig) -> None:
    """Print the peer id that --identify proves."""
    peer_id = Identity.load(config.state).peer_id
    line = json.dumps({"peer": peer_id}) if config.as_json else peer_id
    write(STDIO, line.encode() + b"\n")


async def show(config: ClientConfig) -> None:
    """Print the mesh as a table, or as JSON."""
    async with config.open_mesh() as mesh:
        records = await mesh.producers()
        clock, family = mesh.clock_advice(), _missing_family(records)
    now = time.time()
    records.sort(key=lambda r: (r.kind, r.backend, r.engine, -r.idle, r.peer_id))
    shown = records[: config.limit]
    if config.as_json:
        found = {"found": len(records), "records": [as_json(r, now) for r in shown]}
        if clock:
            found["clock"] = clock
        if family:
            found["family"] = family
        write(STDIO, json.dumps(found).encode() + b"\n")
        return
    if not records:
        say("connected, but no producers are online")
    for why in filter(None, (clock, family)):
        say(why)
    if not records:
        return
    lines = table([HEADINGS, *(_row(record, now) for record in shown)])
    write(STDIO, sanitize("\n".join(lines) + "\n").encode())
    if len(records) > len(shown):
        say(f"({len(records) - len(shown)} more: --limit)")


def _missing_family(records: Sequence[Record]) -> str:
    """A sentence if some of these have only addresses of a family that this machine has not; else
    empty."""
    found = [
        hosts
        for record in records
        if (hosts := [r.host for r in record.routes if isinstance(r, Direct)])
    ]
    out = [hosts for hosts in found if not any(map(has_route, hosts))]
    if not out:
        return ""
    families = {"IPv6" if ":" in host else "IPv4" for hosts in out for host in hosts}
    named = " or ".join(sorted(families))
    return (
        f"{len(out)} of {len(found)} with an address have {named} only, which this machine has "
        "not: they can be called through farms that have both"
    )


async def show_voices(config: ClientConfig) -> None:
    """Print what `--voice` may name, as a table or as JSON."""
    async with config.open_mesh() as mesh:
        voices = await mesh.voices()
    if config.as_json:
        listed = [
            {
                "voice": voice,
                "engine": engine,
                "language": voices.languages[voice, engine],
                "producers": list(peers),
            }
            for (voice, engine), peers in voices.found.items()
        ]
        found = {"found": len(listed), "voices": listed, "silent": list(voices.silent)}
        write(STDIO, json.dumps(found).encode() + b"\n")
        return
    if not voices.found:
        say("connected, but no producer on the mesh has a voice now")
        return
    rows = [
        (voice, voices.languages[voice, engine], engine, _few([peer[:8] for peer in peers], False))
        for (voice, engine), peers in voices.found.items()
    ]
    lines = table([("VOICE", "LANGUAGE", "ENGINE", "PRODUCERS"), *rows])
    write(STDIO, sanitize("\n".join(lines) + "\n").encode())
    if voices.silent:
        peers = _few([peer[:8] for peer in voices.silent], False)
        say(f"(not complete: {peers} did not say which other voices there are)")


def as_json(record: Record, now: float) -> dict[str, Any]:
    """The fields of a record, and the pin with which curl checks its publisher."""
    return {
        "peer": record.peer_id,
        "pin": pin_of(record.publisher),
        "service": record.kind,
        "backend": record.backend,
        "engine": record.engine,
        "models": list(record.models),
        "more_models": record.more,
        "languages": list(record.languages),
        "translates": record.translates,
        "only_named": record.only_named,
        "slots": record.slots,
        "idle": record.idle,
        "speed": record.speed,
        "routes": [_route(route) for route in record.routes],
        "terms": dict(record.terms),
        "age": round(now - record.issued, 1),
        "expires_in": round(record.expires - now, 1),
    }


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row(record: Record, now: float) -> tuple[str, ...]:
    is_farm = record.kind == FARM
    return (
        record.peer_id[:8],
        record.kind if is_farm else f"{record.kind}/{record.backend}",
        record.engine,
        _few(record.models, record.more),
        _few(record.languages, False),
        "" if is_farm else f"{record.idle} of {record.slots}",
        f"{record.speed:g}x" if record.speed else "",
        ", ".join(map(str, record.routes)),
        f"{max(0, now - record.issued):.0f} s",
    )


def _few(names: Sequence[str], more: bool) -> str:
    return " ".join(names[:SHOWN]) + (" ..." if more or len(names) > SHOWN else "")


def _route(route: Any) -> dict[str, Any]:
    if isinstance(route, Direct):
        return {"kind": "direct", "host": route.host, "port": route.port}
    return {"kind": "relayed", "farm": peer_id_of(route.farm)}
