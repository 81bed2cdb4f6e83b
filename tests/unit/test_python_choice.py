"""Which Python `make` sets itself up with (tests/python.sh), and what it says where none will do.

The Pythons here are scripts that only say which they are.
"""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "python.sh"
FAKE = """#!/bin/sh
case "$*" in
    *version_info\\[1\\]*) echo {minor} ;;
    *Python.h*) exit {headers} ;;
    --version) echo "Python 3.{minor}.0" ;;
    "-m venv"*) mkdir "$3" && echo {minor} > "$3/made" ;;
esac
"""


def chosen(
    folder: Path, *minors: int, headers: bool = True, compiler: bool = True, asked: str = ""
) -> tuple[str, str]:
    """The minor version set up on a machine with these Pythons alone, and what was said."""
    programs, venv = folder / "bin", folder / "venv"
    programs.mkdir()
    for name in ("mkdir",):
        (programs / name).symlink_to(Path("/bin") / name)
    for minor in minors:
        fake = programs / f"python3.{minor}"
        fake.write_text(FAKE.format(minor=minor, headers=0 if headers else 1))
        fake.chmod(0o755)
    if compiler:
        (programs / "cc").write_text("#!/bin/sh\n")
        (programs / "cc").chmod(0o755)
    environment = {"PATH": str(programs), **({"PYTHON": asked} if asked else {})}
    ran = subprocess.run(
        ["/bin/sh", str(SCRIPT), str(venv)], env=environment, capture_output=True, text=True
    )
    made = venv / "made"
    assert (ran.returncode == 0) == made.exists(), ran.stderr
    return made.read_text().strip() if made.exists() else "", ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("minors", "best"),
    [((11,), "11"), ((11, 12), "12"), ((11, 12, 13), "13"), ((13, 14), "13"), ((10, 12, 14), "12")],
)
def test_the_newest_python_for_which_everything_has_wheels_is_taken(
    tmp_path: Path, minors: tuple[int, ...], best: str
) -> None:
    assert chosen(tmp_path, *minors)[0] == best


def test_where_there_is_only_3_14_what_has_no_wheel_is_built(tmp_path: Path) -> None:
    best, said = chosen(tmp_path, 14)
    assert best == "14"
    assert "building pocketsphinx" in said


@pytest.mark.parametrize(("compiler", "headers"), [(False, True), (True, False)])
def test_where_it_cannot_be_built_the_command_that_mends_it_is_named(
    tmp_path: Path, compiler: bool, headers: bool
) -> None:
    best, said = chosen(tmp_path, 14, compiler=compiler, headers=headers)
    assert best == ""
    assert "sudo apt-get install build-essential python3.14-dev" in said


def test_the_python_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    assert chosen(tmp_path, 11, 13, 14, asked="python3.11")[0] == "11"


def test_3_14_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    assert chosen(tmp_path, 13, 14, asked="python3.14")[0] == "14"


def test_without_any_python_that_will_do_it_is_said_which_would(tmp_path: Path) -> None:
    best, said = chosen(tmp_path, 10, 15)
    assert best == ""
    assert "needs Python 3.11 to 3.14" in said
