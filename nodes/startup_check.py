"""Whether a node with these flags can start here; probed before anything of the network.

    node     are its state folder and its ports free, or is it running already
    engines  can the engines that it is to lend be started (each is started once)

No file is created or changed: the node could not use a folder that another user's doctor created.
"""

import errno
import os
import socket
from functools import partial
from pathlib import Path

from nodes import sound_check
from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.engine_startup import started_engines
from nodes.engines.model_memory import ModelMemory
from nodes.engines.pooled_engine import EngineOptions
from nodes.port_conflicts import explain_conflicts, why_not_bound
from nodes.state_lock import is_in_use
from nodes.verdict import NO, PARTLY, YES, Verdict
from privox_dht.errors import EngineUnavailable
from privox_dht.identity import KEY_FILE, Identity
from privox_dht.membership.secret_file import membership_of


async def node(config: NodeConfig) -> Verdict:
    """Its folder and its ports.

    Raises:
        ConfigError: its key, or the secret of its mesh, cannot be used.
    """
    folder = config.state_dir
    if is_in_use(folder):
        return Verdict("node", YES, f"it runs already, with the state folder {folder}")
    if conflicts := explain_conflicts(config):
        return Verdict("node", NO, conflicts)
    membership_of(config.secret_file, config.network)
    if why := _folder_trouble(folder) or _port_trouble(config):
        return Verdict("node", NO, why)
    return Verdict("node", YES, "its state folder and its ports are free")


async def engines(config: NodeConfig) -> Verdict:
    """The engines that it is to lend."""
    troubles: list[str] = []
    try:
        async with Codecs(1) as codecs:
            await sound_check.start(codecs)
            check = partial(sound_check.check, codecs)
            options = EngineOptions(ModelMemory(config.model_memory), config.batch)
            lent = started_engines(config.services, config.cache, check, troubles.append, options)
            async with lent as started:
                some = ", ".join(
                    f"{e.service}/{e.backend}/{e.engine}" for e in (s.info for s in started)
                )
    except EngineUnavailable as exc:
        return Verdict("engines", NO, "; ".join(troubles) or str(exc))
    if troubles:
        return Verdict("engines", PARTLY, f"{some}; but {'; '.join(troubles)}")
    return Verdict("engines", YES, some)


def _folder_trouble(folder: Path) -> str:
    """Why the state folder cannot be used; "": it can."""
    place = folder
    while not os.path.exists(place) and place != place.parent:  # Path.exists raises if forbidden
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return f"the state folder {folder} cannot be used: {place} cannot be written to"
    if (folder / KEY_FILE).exists():
        Identity.load(folder)
    return ""


def _port_trouble(config: NodeConfig) -> str:
    """Why a port cannot be used, unless another program uses it; "": it can."""
    wanted = [(config.port, socket.SOCK_DGRAM), (config.port, socket.SOCK_STREAM)]
    if config.farm:
        wanted.append((config.relay_port, socket.SOCK_STREAM))
    for port, kind in wanted:
        if number := why_not_bound(config.host, port, kind):
            why = os.strerror(number).lower()
            hint = "; ports below 1024 are for root" if number == errno.EACCES else ""
            return f"it cannot listen on {config.host or 'any address'}, port {port}: {why}{hint}"
    return ""
