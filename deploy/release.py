"""Builds, checks and tags what could be published: `make release`.

    the tree      nothing uncommitted, on main
    the version   the same in setup.cfg, in privox_dht/__init__.py and on top of CHANGELOG.md, with
                  a day instead of "unreleased", and no tag has it yet
    the files     a source distribution and a wheel in dist/, whose descriptions `twine` can read
    the tag       v0.1.0, on this commit; nothing is uploaded, and nothing is pushed

With --check the version and the tree may be unready: what is wrong is said, and no tag is made.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
HEADING = re.compile(r"^## (\S+) \((.+)\)$", re.MULTILINE)


def version() -> str:
    """The version in setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["metadata"]["version"]


def unready() -> list[str]:
    """What stands in the way of a release; empty if nothing does."""
    wanted, found = version(), []
    package = (ROOT / "privox_dht/__init__.py").read_text()
    if f'__version__ = "{wanted}"' not in package:
        found.append(f"privox_dht/__init__.py has another version than setup.cfg ({wanted})")
    heading = HEADING.search((ROOT / "CHANGELOG.md").read_text())
    if heading is None or heading[1] != wanted:
        found.append(f"the newest heading of CHANGELOG.md is not {wanted}")
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", heading[2]):
        found.append(f"CHANGELOG.md says {heading[2]!r} where the day of the release belongs")
    if git("status", "--porcelain"):
        found.append("there are uncommitted changes")
    if git("rev-parse", "--abbrev-ref", "HEAD") != "main":
        found.append("this is not main")
    if git("log", "-1", "--format=%s") != f"release {wanted}":
        found.append(f'the newest commit is not called "release {wanted}", as tests look for it')
    if git("tag", "--list", f"v{wanted}"):
        found.append(f"the tag v{wanted} is there already")
    return found


def git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def build() -> list[Path]:
    """The source distribution and the wheel, checked.

    Raises:
        subprocess.CalledProcessError: they cannot be built, or a description cannot be read.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    python = [sys.executable, "-m"]
    subprocess.run([*python, "build", "--outdir", str(DIST), str(ROOT)], check=True)
    files = sorted(DIST.iterdir())
    subprocess.run([*python, "twine", "check", "--strict", *map(str, files)], check=True)
    return files


def main() -> int:
    only_check = "--check" in sys.argv[1:]
    trouble = unready()
    for line in trouble:
        print(f"not ready: {line}")
    if trouble and not only_check:
        return 1
    for file in build():
        print(f"built {file.relative_to(ROOT)} ({file.stat().st_size:,} bytes)")
    if not only_check:
        git("tag", "--annotate", f"v{version()}", "--message", f"privox_dht {version()}")
        print(f"tagged v{version()}; to publish: git push --tags, and twine upload dist/*")
    return 0


if __name__ == "__main__":
    sys.exit(main())
