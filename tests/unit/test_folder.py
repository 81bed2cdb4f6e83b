"""A state folder that cannot be used says whose it is, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.folder import owned
from privox_dht.errors import ConfigError

NOBODY = 65534
AS_NOBODY = f"""
import os, sys
from pathlib import Path
from nodes.folder import owned
os.setgid({NOBODY}); os.setuid({NOBODY})
with owned(Path(sys.argv[1])):
    pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot be had here: changing users needs root")
@pytest.mark.parametrize("below", ["", "deeper"])
def test_another_users_folder_names_both_users_and_the_command(tmp_path: Path, below: str) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path / below)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = ran.stderr.splitlines()[-1]
    assert f"{tmp_path} belongs to user 0, and this node runs as user {NOBODY}" in said
    assert f"sudo chown -R {NOBODY}:{NOBODY}" in said
    assert "--user 0" in said


def test_a_folder_of_ones_own_says_only_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"cannot use the state folder .*: Not a directory$"),
        owned(tmp_path / "file" / "folder"),
    ):
        pass
