"""Known holes in what is installed, as PyPI tells of them: asks pip-audit, and judges its answer.

    python tests/audit.py

Fails for a hole that a newer version mends; one that nothing mends yet is only named. Where PyPI's
data cannot be had (no network, or a mirror without it) it says so, and fails nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ASK = ("--local", "--skip-editable", "--progress-spinner", "off", "--format", "json")
WITH_PYTHON = {"pip", "setuptools"}  # they come with Python and its virtual environments
NOWHERE = "known holes cannot be had here: {}; nothing was checked"


def verdict(report: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether pip-audit's report is good, and what to say of it."""
    asked = [one for one in report["dependencies"] if one["name"] not in WITH_PYTHON]
    known = [one for one in asked if "skip_reason" not in one]
    if not known:
        return True, [NOWHERE.format("PyPI's index here tells nothing of any package")]
    good, lines = True, []
    for one in known:
        for hole in one["vulns"]:
            mended = ", ".join(hole["fix_versions"])
            good &= not mended
            what = f"mended in {mended}" if mended else "mended in no version yet"
            lines.append(f"{one['name']} {one['version']} has the hole {hole['id']}, {what}")
    lines.append(f"{len(known)} packages asked about, {len(asked) - len(known)} unknown to PyPI")
    return good, lines


def main() -> int:
    program = Path(sys.executable).with_name("pip-audit")
    if not program.exists():  # an environment for tests alone
        print(NOWHERE.format("pip-audit is not installed (pip install -e '.[dev]')"))
        return 0
    asked = subprocess.run([program, *ASK], capture_output=True, text=True, check=False)
    try:
        good, lines = verdict(json.loads(asked.stdout))
    except ValueError:  # it prints no report where it cannot ask
        why = asked.stderr.strip().splitlines()[-1:] or ["pip-audit says nothing"]
        good, lines = True, [NOWHERE.format(why[0][:200])]
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
