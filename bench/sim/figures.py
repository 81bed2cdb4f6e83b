"""What is counted in a mesh, and the tables of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

RATIOS = ("get_p50", "get_p95", "put_p50", "put_p95")
COLUMNS = (
    "world", "nodes", "dead", "loss", "contacts", "found", "found_within_1s", *RATIOS, "stored",
    "datagrams_per_get", "choked",
)  # fmt: skip


@dataclass
class Result:
    """One mesh at one share of dead nodes."""

    world: str
    nodes: int
    dead: float
    loss: float
    contacts: float = 0.0  # in the median node's table
    get: list[float] = field(default_factory=list)  # seconds, found or not
    found: list[bool] = field(default_factory=list)
    put: list[float] = field(default_factory=list)
    stored: int = 0
    visible: dict[str, float] = field(default_factory=dict)  # share found, by seconds since the put
    datagrams: float = 0.0  # sent by all, for one get, nobody else being busy
    choked: int = 0  # datagrams that machines did not get out: stock can answer itself for ever

    def row(self) -> dict[str, Any]:
        within = [
            took if ok else float("inf") for took, ok in zip(self.get, self.found, strict=True)
        ]
        return {
            "world": self.world,
            "nodes": self.nodes,
            "dead": self.dead,
            "loss": self.loss,
            "contacts": self.contacts,
            "found": share(self.found),
            "found_within_1s": share(took <= 1.0 for took in within),
            "get_p50": percentile(self.get, 50),
            "get_p95": percentile(self.get, 95),
            "put_p50": percentile(self.put, 50),
            "put_p95": percentile(self.put, 95),
            "stored": round(self.stored / max(1, len(self.put)), 4),
            "datagrams_per_get": round(self.datagrams, 1),
            "choked": self.choked,
            "visible": self.visible,
        }


def percentile(some: list[float], percent: float) -> float:
    ordered = sorted(some)
    return round(ordered[round(percent / 100 * (len(ordered) - 1))], 4) if ordered else 0.0


def share(some: Iterable[bool]) -> float:
    every = list(some)
    return round(sum(every) / max(1, len(every)), 4)


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        lines.append("| " + " | ".join(str(row[name]) for name in COLUMNS) + " |")
    return "\n".join(lines)


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours over stock, where both were run."""
    stock = {
        (row["nodes"], row["dead"], row["loss"]): row for row in rows if row["world"] == "stock"
    }
    some = []
    for row in rows:
        other = stock.get((row["nodes"], row["dead"], row["loss"]))
        if row["world"] == "ours" and other is not None:
            parts = {name: round(row[name] / other[name], 3) for name in RATIOS if other[name]}
            some.append({"nodes": row["nodes"], "dead": row["dead"], "loss": row["loss"], **parts})
    return some
