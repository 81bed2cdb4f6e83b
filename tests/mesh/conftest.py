"""The order in which tests are handed to the workers of `make test`, and which of them together.

The tests of a file stay with one worker, for the mesh that they share. In the files of `ALONE` each
has a mesh of its own, so each goes to whoever is free.
"""

import pytest
from kit import ask_no_authority

ask_no_authority()
LONGEST = (  # begun first, so that no worker is left with one of them when the others are done
    "test_documented_commands.py",
    "test_documented_nodes.py",
    "test_streamed_jobs.py",
    "test_scatter.py",
    "test_long_texts.py",
    "test_mesh.py",
    "test_sentences.py",
    "test_distribution.py",
    "test_documented_installs.py",
    "test_lending_nodes.py",
    "test_processes_alone.py",
    "test_processes.py",
    "test_attack_directory.py",
    "test_sync.py",
    "test_journey.py",
    "test_gateway_dialect_answers.py",
    "test_attack_workers.py",
    "test_attack_decoding.py",
    "test_gateway_load.py",
    "test_gateway_film.py",
    "test_private_scatter.py",
    "test_scattered_jobs.py",
    "test_gateway_answers.py",
    "test_confinement.py",
    "test_node.py",
    "test_private_mesh.py",
    "test_flood.py",
    "test_health.py",
    "test_directory.py",
)
ALONE = {
    "test_attack_decoding.py",
    "test_attack_workers.py",
    "test_confinement.py",
    "test_demo.py",
    "test_gateway_film.py",
    "test_health.py",
    "test_processes_alone.py",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; whatever is not of this folder keeps its place among the rest."""
    items.sort(key=lambda item: LONGEST.index(name) if (name := item.path.name) in LONGEST else 99)


@pytest.hookimpl(optionalhook=True)  # it is xdist's
def pytest_xdist_make_scheduler(config: pytest.Config) -> object | None:
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class TogetherOrAlone(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file.rpartition("/")[2] in ALONE else file

    return TogetherOrAlone(config)
