"""The mesh as the page shows it: each producer once, with all its services. Pure.

records, own engines -> producers    the idle ones first
producers            -> services     how many do each, and their slots
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nodes.gateway import gateway_limits
from privox_dht import limits
from privox_dht.records import Record, Relayed
from privox_dht.speech import SERVICES, EngineInfo
from privox_dht.speech_api.job_log import SHORT_ID

Json = dict[str, Any]
COUNTED = ("running", "waiting")  # jobs that the gateway counts for each service


def overview(
    records: Iterable[Record], own: Json | None, status: Mapping[str, Mapping[str, int]]
) -> Json:
    """The mesh in one object.

    Args:
        own: this node (`own_producer`); None: it lends nothing.
        status: by service, see `MeshProvider.status`.
    """
    producers = [*([own] if own else []), *_producers(records)]
    producers.sort(key=lambda p: (not p["here"], -p["idle"], p["id"]))
    shown = producers[: gateway_limits.SHOWN_PRODUCERS]
    return {
        "services": {
            service: _service(service, producers, status[service]) for service in SERVICES
        },
        "producers": shown,
        "more_producers": len(producers) - len(shown),
        "slots": sum(p["slots"] for p in producers),
        "idle": sum(p["idle"] for p in producers),
    }


def own_producer(peer_id: str, engines: Sequence[EngineInfo], slots: int, idle: int) -> Json | None:
    """This node as a producer; None: it lends nothing."""
    if not engines:
        return None
    does = [_capability(engine.service, engine) for engine in engines]
    return {
        "id": peer_id[:SHORT_ID],
        "here": True,
        "relayed": False,
        "slots": slots,
        "idle": idle,
        "does": does,
    }


def _producers(records: Iterable[Record]) -> list[Json]:
    by_publisher: dict[bytes, list[Record]] = {}
    for record in records:
        if record.kind in SERVICES and not record.withdrawn:
            by_publisher.setdefault(record.publisher, []).append(record)
    return [_of(records) for records in by_publisher.values()]


def _of(records: Sequence[Record]) -> Json:
    """One producer; its services share its slots."""
    does = [_capability(record.kind, record) for record in records]
    does.sort(key=lambda one: (SERVICES.index(one["service"]), one["engine"]))
    routes = [route for record in records for route in record.routes]
    return {
        "id": records[0].peer_id[:SHORT_ID],
        "here": False,
        "relayed": bool(routes) and all(isinstance(route, Relayed) for route in routes),
        "slots": max(r.slots for r in records),
        "idle": max(r.idle for r in records),
        "does": does,
    }


def _capability(service: str, does: EngineInfo | Record) -> Json:
    return {
        "service": service,
        "backend": does.backend,
        "engine": does.engine,
        "models": list(does.models[: limits.MAX_MODELS]),
        "languages": list(does.languages),
    }


def _service(service: str, producers: Sequence[Json], status: Mapping[str, int]) -> Json:
    able = [p for p in producers if any(one["service"] == service for one in p["does"])]
    return {
        "producers": len(able),
        "slots": sum(p["slots"] for p in able),
        "idle": sum(p["idle"] for p in able),
        **{name: status[name] for name in COUNTED},
    }
