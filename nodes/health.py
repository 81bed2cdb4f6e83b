"""`privox-node health`: does the node with this state folder answer?

    node   -> its folder      its addresses, mesh and key, in `listening.json`
    health -> UDP port        joins the mesh through the node, as any client would
    health -> TCP port        GET /v1/status over TLS; the key must be the one in the file

So the check needs only the folder, whether the node's port, mesh and address were given by flags,
environment or file.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nodes.owner_status import OWNER_STATUS
from privox_dht.addresses import join_host
from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.dht.dht_node import DhtNode
from privox_dht.errors import ConfigError, LocalError, NotJoined, PrivoxError
from privox_dht.identity import Identity, public_of
from privox_dht.membership.members import Membership
from privox_dht.membership.secret_file import membership_of
from privox_dht.speech_api.client import STATUS, Endpoint, SpeechClient

LISTENING_FILE = "listening.json"
JOIN_TIMEOUT = 4.0  # seconds; a node on this machine answers in milliseconds unless it hangs


class Unhealthy(LocalError):
    """The node does not work as it should; the message says why."""


@dataclass(frozen=True, slots=True)
class Listening:
    """How a running node can be contacted."""

    peer: str  # its peer id
    network: str
    host: str  # an IP literal, or "localhost" when it listens everywhere
    port: int  # UDP
    job_port: int  # TCP
    secret_file: str = ""  # of a private mesh
    owner_secret: str = field(default="", repr=False)  # for `owner_status`

    def membership(self) -> Membership | None:
        """A new one each time: no two nodes share theirs."""
        return membership_of(Path(self.secret_file) if self.secret_file else None, self.network)


@contextmanager
def listening_file(folder: Path, listening: Listening) -> Iterator[None]:
    """`listening.json` in the folder, for as long as the context is open.

    Raises:
        ConfigError: the folder takes no file.
    """
    path = folder / LISTENING_FILE
    try:
        replace_file(path, json.dumps(asdict(listening)).encode() + b"\n", mode=SECRET)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror or exc}") from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def listening_in(folder: Path) -> Listening:
    """How the node that uses `folder` can be contacted.

    Raises:
        Unhealthy: no node has written it there.
    """
    path = folder / LISTENING_FILE
    try:
        return Listening(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise Unhealthy(
            f"no node listens that keeps its state in {folder} (it may still be starting); "
            "the folder is named by --state-dir or PRIVOX_STATE_DIR, as for the node"
        ) from None
    except (OSError, ValueError, TypeError) as exc:
        raise Unhealthy(f"cannot read {path}: {exc}") from exc


async def check(folder: Path, published: bool) -> str:
    """The message about a healthy node.

    Args:
        folder: its state folder.
        published: whether other nodes must hold a record of every service that it lends.

    Raises:
        Unhealthy: it is not healthy.
    """
    node = listening_in(folder)
    with _answering(node):
        await _join_through(node)
        status = await _status(node)
    held: list[str] = sorted(status.get("published", {}))
    if published and (missing := set(status.get("lends", [])) - set(held)):
        named = ", ".join(sorted(missing))
        raise Unhealthy(f"node {node.peer[:8]} answers, but nobody can find its {named} yet")
    found = f"; others find its {', '.join(held)}" if held else ""
    return f"node {node.peer[:8]} answers on UDP {node.port} and TCP {node.job_port}{found}"


@contextmanager
def _answering(node: Listening) -> Iterator[None]:
    """Whatever goes wrong in it means that the node is not healthy."""
    try:
        yield
    except PrivoxError as exc:
        raise Unhealthy(f"node {node.peer[:8]} does not answer: {exc}") from exc


async def _join_through(node: Listening) -> None:
    async with DhtNode(
        Identity.generate(), network=node.network, host=None, guest=True, member=node.membership()
    ) as guest:
        try:
            await guest.join([(node.host, node.port)], JOIN_TIMEOUT)
        except NotJoined:
            where = join_host(node.host, node.port)
            raise Unhealthy(f"cannot join mesh {node.network!r} through {where} (UDP)") from None


async def owner_status(folder: Path) -> dict[str, Any]:
    """The status for its owner of the node that uses `folder`.

    Raises:
        Unhealthy: no node answers.
    """
    node = listening_in(folder)
    with _answering(node):
        return await _status(node, OWNER_STATUS, node.owner_secret)


async def _status(node: Listening, path: str = STATUS, token: str | None = None) -> dict[str, Any]:
    base = f"https://{join_host(node.host, node.job_port)}"
    endpoint = Endpoint(base, public_of(node.peer), token=token)
    async with SpeechClient(allow=lambda address: True, member=node.membership()) as client:
        return await client.status(endpoint, path)
