"""Writes the files from which the image is installed: every package, pinned and with its hashes.

    make lock                                   none, embedded and all, and what builds our wheel
    python deploy/lock.py embedded,whisper      another choice of extras, for --build-arg EXTRAS=

Each holds the newest versions within setup.cfg's bounds that have wheels for the image's Python on
Linux, x86_64 and aarch64 alike. Needs uv (`pip install uv`) and a package index.
"""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy/requirements"
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
NONE, BUILD = "none", "build"  # no extra; what pyproject.toml wants for building a wheel
CHOICES = (NONE, "embedded", "all", BUILD)


def wanted(choice: str) -> list[str]:
    """The requirements of setup.cfg for some extras (with commas between), their markers kept."""
    if choice == BUILD:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        return list(project["build-system"]["requires"])
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = lines(setup["options"]["install_requires"])
    left = [] if choice == NONE else choice.split(",")
    while left:
        for line in lines(setup["options.extras_require"][left.pop()]):
            ours = re.fullmatch(r"privox-dht\[(.+)\]", line)
            if ours:
                left += ours[1].split(",")
            elif line not in found:
                found.append(line)
    return found


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def image_python() -> str:
    """The minor version of Python in the Dockerfile's base: "3.13"."""
    (version,) = re.findall(
        r"^ARG BASE=python:(\d+\.\d+)\.", (ROOT / "Dockerfile").read_text(), re.M
    )
    return str(version)


def locked(requirements: Sequence[str], platform: str) -> str:
    """What uv resolves them to on a platform.

    Raises:
        subprocess.CalledProcessError: they cannot all be had as wheels there.
    """
    return subprocess.run(
        ["uv", "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate",
         "--generate-hashes", "--only-binary", ":all:", "--python-version", image_python(),
         "--python-platform", platform],
        input="\n".join(requirements), stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip


def main() -> int:
    for choice in sys.argv[1:] or CHOICES:
        results = {locked(wanted(choice), platform) for platform in PLATFORMS}
        if len(results) > 1:
            print(f"{choice}: {' and '.join(PLATFORMS)} get different versions: narrow a bound")
            return 1
        file = FOLDER / f"{choice}.txt"
        head = f"# Made by deploy/lock.py for Python {image_python()}; do not edit.\n"
        file.write_text(head + results.pop())
        print(f"{file.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
