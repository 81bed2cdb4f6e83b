"""What stands in the way of a release is said before anything is built."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAY = "2026-11-21"


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A committed tree that is ready for 1.2.3, with the real script in it."""
    if shutil.which("git") is None:
        pytest.skip("cannot be had here: git")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "privox_dht").mkdir()
    shutil.copy(ROOT / "deploy/release.py", tmp_path / "deploy")
    (tmp_path / "setup.cfg").write_text("[metadata]\nversion = 1.2.3\n")
    (tmp_path / "privox_dht/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## 1.2.3 ({DAY})\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "release 1.2.3")
    return tmp_path


def unready(tree: Path) -> str:
    code = "import release; print('; '.join(release.unready()))"
    ran = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tree / "deploy", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_a_tree_that_is_ready_has_nothing_in_its_way(tree: Path) -> None:
    assert unready(tree) == ""


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("privox_dht/__init__.py", '__version__ = "1.2.2"', "another version than setup.cfg"),
        ("CHANGELOG.md", f"## 1.2.2 ({DAY})", "the newest heading of CHANGELOG.md is not 1.2.3"),
        ("CHANGELOG.md", "## 1.2.3 (unreleased)", "'unreleased' where the day"),
        ("more", "", "uncommitted changes"),
    ],
)
def test_what_is_not_ready_is_named(tree: Path, file: str, text: str, said: str) -> None:
    (tree / file).write_text(text + "\n")
    assert said in unready(tree)


def test_the_commit_of_a_release_can_be_found_without_its_tag(tree: Path) -> None:
    git(tree, "commit", "-q", "--allow-empty", "-m", "one thing more")
    assert 'not called "release 1.2.3"' in unready(tree)


def test_a_version_is_tagged_once_and_on_main(tree: Path) -> None:
    git(tree, "tag", "v1.2.3")
    git(tree, "checkout", "-qb", "elsewhere")
    assert "this is not main" in unready(tree) and "v1.2.3 is there already" in unready(tree)
