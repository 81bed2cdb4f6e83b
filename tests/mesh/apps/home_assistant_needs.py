"""The packages that Home Assistant's Wyoming integration asks for, those of its dependencies
included, at the versions that it pins. It is asked in Home Assistant's own environment."""

import json
from pathlib import Path

import homeassistant

PARTS = Path(homeassistant.__file__).parent / "components"
seen: set[str] = set()
waiting = ["wyoming"]
while waiting:
    part = waiting.pop()
    if part not in seen:
        seen.add(part)
        told = json.loads((PARTS / part / "manifest.json").read_text())
        waiting += told.get("dependencies", [])
        for need in told.get("requirements", []):
            print(need)
