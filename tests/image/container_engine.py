"""Enough of `docker` for the project's pages, by Buildah and Podman.

    build    buildah, in a chroot; what BASE is may be said by TEST_IMAGE_BASE
    run ...  podman, with the limits that it cannot take from a system without systemd
    compose  what a compose file says: `up`, `exec`, `logs`, `down`; an unknown key is an error

Podman has no systemd here that would run health checks: they are run where they are waited for.
Everything is kept in TEST_IMAGE_FOLDER.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(os.environ.get("TEST_IMAGE_FOLDER", ""))  # said by tests/image.sh
LIMITS = {"nofile": 4096, "nproc": 4096}  # a container's, where nothing else is said
HEALTHY_WITHIN = 120.0  # seconds for a service that others wait for
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


@functools.cache
def storage() -> tuple[str, ...]:
    """Where images lie: as overlays where the kernel can, as whole copies elsewhere."""
    marker = FOLDER / "driver"
    if not marker.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        tried = FOLDER / "tried"
        works = run_quietly(
            "buildah", "--root", f"{tried}/store", "--runroot", f"{tried}/run",
            "--storage-driver", "overlay", "info",
        ).returncode == 0  # fmt: skip
        marker.write_text("overlay" if works else "vfs")
    places = ("--root", f"{FOLDER}/store", "--runroot", f"{FOLDER}/run")
    return (*places, "--storage-driver", marker.read_text())


def run_quietly(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def podman(*arguments: str) -> list[str]:
    """A command line of podman's."""
    return [
        "podman", "--log-level", "error", *storage(), "--tmpdir", f"{FOLDER}/tmp",
        "--cgroup-manager", "cgroupfs", "--runtime", "crun", "--network-backend", "netavark",
        "--network-config-dir", f"{FOLDER}/networks", "--events-backend", "none", *arguments,
    ]  # fmt: skip


def build(arguments: Sequence[str]) -> int:
    """`docker build`: the machine's own certificates are shown to pip, as its index may want."""
    base = os.environ.get("TEST_IMAGE_BASE")
    trusted = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    return subprocess.call(
        ["buildah", "--log-level", "error", *storage(), "bud", "--quiet", "--isolation", "chroot",
         "--format", "docker", "--layers", "--network", "host",
         *(["--build-arg", f"BASE={base}"] if base else []),
         *(["--volume", f"{trusted}:{CERTIFICATES}:ro"] if trusted else []), *arguments]
    )  # fmt: skip


def import_folder(folder: str, name: str) -> int:
    """A folder as an image of one layer."""
    buildah = ["buildah", "--log-level", "error", *storage()]
    made = subprocess.check_output([*buildah, "from", "scratch"], text=True).strip()
    subprocess.check_call([*buildah, "add", "--quiet", made, folder], stdout=subprocess.DEVNULL)
    return subprocess.call(
        [*buildah, "commit", "--quiet", "--rm", "--format", "docker", made, name]
    )


def run(arguments: Sequence[str], limits: Mapping[str, int] = LIMITS) -> list[str]:
    """The command line for `docker run`."""
    most = {"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}  # what this machine may grant
    granted = {name: min(number, most.get(name, number)) for name, number in limits.items()}
    said = [f"--ulimit={name}={number}:{number}" for name, number in granted.items()]
    return podman("run", *said, *arguments)


# -- compose ---------------------------------------------------------------------------------------


def filled_in(value: Any) -> Any:
    """A part of a compose file with its variables replaced, as compose does it."""
    if isinstance(value, dict):
        return {key: filled_in(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled_in(inner) for inner in value]
    return VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(found: re.Match[str]) -> str:
    name, how, other = found.groups()
    given = os.environ.get(name, "")
    if how == "?" and not given:
        sys.exit(f"{name}: {other}")
    return given or (other if how == "-" else "")


class Project:
    """What a compose file describes, on a network of its own."""

    def __init__(self, file: Path) -> None:
        content = filled_in(yaml.safe_load(file.read_text()))
        self.name: str = content["name"]
        self.services: dict[str, dict[str, Any]] = content["services"]
        self.folder = file.resolve().parent

    def container(self, service: str) -> str:
        return f"{self.name}-{service}-1"

    def up(self, until: str | None) -> int:
        """Start every service once those are well that it waits for; see `until` end."""
        run_quietly(*podman("network", "create", self.name))
        for name, service in self.services.items():
            for other in service.get("depends_on", {}):
                self.wait_until_well(other)
            if name == until:
                return subprocess.call(run(self._options(name), self._limits(name)))
            started = run_quietly(*run(["--detach", *self._options(name)], self._limits(name)))
            if started.returncode:
                sys.exit(f"{name}: {started.stderr}")
        return 0

    def wait_until_well(self, service: str) -> None:
        """Until the health check of a service ends with 0."""
        deadline = time.monotonic() + HEALTHY_WITHIN
        while (ran := self.health(service)).returncode:
            if time.monotonic() > deadline:
                logs = run_quietly(*podman("logs", self.container(service)))
                sys.exit(f"{service} is not well: {ran.stderr}\n{logs.stderr[-2000:]}")
            time.sleep(0.5)

    def health(self, service: str) -> subprocess.CompletedProcess[str]:
        """The health check of the file, or the image's where the file has none."""
        test = self.services[service].get("healthcheck", {}).get("test")
        if test:
            assert test[0] == "CMD", test
            return run_quietly(*podman("exec", self.container(service), *test[1:]))
        return run_quietly(*podman("healthcheck", "run", self.container(service)))

    def build(self) -> int:
        """Every image that the file says how to build."""
        for service in self.services.values():
            if "build" in service:
                context = self.folder / service["build"]
                if code := build(["--tag", service["image"], str(context)]):
                    return code
        return 0

    def down(self) -> int:
        for name in reversed(self.services):
            run_quietly(*podman("rm", "--force", "--volumes", self.container(name)))
        return run_quietly(*podman("network", "rm", "--force", self.name)).returncode

    def _limits(self, name: str) -> dict[str, int]:
        return {**LIMITS, **self.services[name].get("ulimits", {})}

    def _options(self, name: str) -> list[str]:
        """How `docker run` is told what the file says of a service."""
        said = dict(self.services[name])
        how = [
            f"--name={self.container(name)}",
            f"--network={self.name}",
            f"--network-alias={name}",
        ]
        for key in ("build", "depends_on", "healthcheck", "ulimits"):
            said.pop(key, None)  # done elsewhere
        image, command = said.pop("image"), said.pop("command")
        how += [f"--volume={self.name}_{volume}" for volume in said.pop("volumes", [])]
        how += [f"--env={key}={value}" for key, value in said.pop("environment", {}).items()]
        how += [f"--stop-timeout={said.pop('stop_grace_period', '10s').rstrip('s')}"]
        for key, flag in (
            ("cap_drop", "--cap-drop"), ("security_opt", "--security-opt"), ("tmpfs", "--tmpfs"),
            ("ports", "--publish"),
        ):  # fmt: skip
            how += [f"{flag}={value}" for value in said.pop(key, [])]
        for key, flag in (
            ("mem_limit", "--memory"), ("pids_limit", "--pids-limit"), ("restart", "--restart"),
        ):  # fmt: skip
            how += [f"{flag}={said.pop(key)}"] if key in said else []
        how += [f"--{key.replace('_', '-')}" for key in ("init", "read_only") if said.pop(key, 0)]
        if said:
            sys.exit(f"{name}: what {', '.join(said)} means is not known here")
        return [*how, image, *command]


def compose(arguments: Sequence[str]) -> int:
    """`docker compose`."""
    parser = argparse.ArgumentParser(prog="docker compose")
    parser.add_argument("--file", type=Path, default=Path("docker-compose.yml"))
    parser.add_argument("what", choices=("up", "exec", "logs", "down"))
    given, rest = parser.parse_known_args(arguments)
    project = Project(given.file)
    if given.what == "up":
        for flag in ("--build", "--detach"):
            wanted = flag in rest
            rest = [word for word in rest if word != flag]
            if flag == "--build" and wanted and (code := project.build()):
                return code
        until = rest[1] if rest[:1] == ["--exit-code-from"] else None
        return project.up(until)
    if given.what == "down":
        return project.down()
    service, *command = [word for word in rest if not word.startswith("--") or given.what == "exec"]
    return subprocess.call(podman(given.what, project.container(service), *command))


def main() -> int:
    what, *rest = sys.argv[1:]
    if what == "build":
        return build(rest)
    if what == "compose":
        return compose(rest)
    if what == "import-folder":
        return import_folder(*rest)
    if what == "run":
        return subprocess.call(run(rest))
    return subprocess.call(podman(what, *rest))


if __name__ == "__main__":
    sys.exit(main())
