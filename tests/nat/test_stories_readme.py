"""The README's public part, word by word, on an internet where things are killed and moved."""

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import ROOT, Nat, Plan
from .plan import DUAL, IPV4, IPV6, PUBLIC
from .programs import LOOK_EVERY, Program
from .village import Answer, Asking, Village

LONGER = 20.0  # seconds that a job may take longer than an undisturbed one
SPOKEN = (
    "The weather is good and we are going home. In the morning the train was late, and nobody "
    "knew why. The man at the counter said that it would come in an hour."
)
LENDERS = {
    "nat-a": Nat(nats.PORT_RESTRICTED, ("lender1",)),
    "nat-b": Nat(nats.SYMMETRIC, ("lender2",)),
    "nat-c": Nat(nats.FULL_CONE, ("lender3",)),
}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


def flags_in_readme(beginning: str, host: str) -> list[str]:
    """The options of the README's line that begins so, with the first node's address in it."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^    {re.escape(beginning)}[^\n]*$", text, re.MULTILINE)
    assert found is not None, f"the README has no line that begins with {beginning!r}"
    line = found[0].replace("host:5678", host)
    return shlex.split(line, comments=True)[1:]


class Readme(Village):
    """A mesh of which each program gets the README's options and no others."""

    def set_up(self) -> None:
        doors = [f"{self.lab.address('first', f)}" for f in self.lab.families("first")]
        four, six = doors
        self.host = f"{four}:5678,[{six}]:5678"
        self.first = self.run("first", "privox-node        ")
        self.farm = self.run("farm", "privox-node --neighbours host:5678 --farm")
        lends = "privox-node --neighbours host:5678 --services stt/cpu,tts/cpu"
        self.lenders = [self.begin(host, lends) for host in ("lender1", "lender2", "lender3")]
        for lender in self.lenders:  # each hears and speaks its own test first
            lender.wait_for(r'"event": "published".*"relayed', 180.0)

    def begin(self, host: str, beginning: str) -> Program:
        return self.start(host, *flags_in_readme(beginning, self.host)).program

    def run(self, host: str, beginning: str) -> Program:
        program = self.begin(host, beginning)
        program.wait_for('"event": "listening"', 60.0)
        return program

    def job(self, recording: Path) -> Asking:
        flags = flags_in_readme("privox-client --neighbours host:5678 --service stt", self.host)
        flags[flags.index("--file") + 1] = str(recording)
        return self.asking("client", *flags, "--state-dir", str(self.lab.folder / "client.state"))


def begun(village: Readme, here: list[int]) -> None:
    """Wait until a lender works on the job."""
    while not any("stt begun" in p.output[n:] for p, n in zip(village.lenders, here, strict=True)):
        time.sleep(LOOK_EVERY)


def test_the_readmes_mesh_goes_on_while_it_is_killed_and_moved(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    plan = Plan(
        ("first", "farm", "client"), LENDERS, world=PUBLIC, families=DUAL, speaks={"client": IPV4}
    )
    village = Readme(build_lab(plan), all_relay=True)
    village.set_up()
    wav = tmp_path / "spoken.wav"
    to_speak = ("--service", "tts", "--text", SPOKEN, "--output", str(wav))
    spoken = village.asking("client", "--neighbours", village.host, *to_speak).answer(120.0)
    assert spoken.code == 0, spoken.text
    quiet = village.job(wav).answer(120.0)
    assert quiet.code == 0, quiet.text

    def disturbed(what: str, harm: Callable[[], object]) -> Answer:
        here = [program.here() for program in village.lenders]
        asking = village.job(wav)
        begun(village, here)
        harm()
        answer = asking.answer(120.0)
        print(f"{what}: {answer.seconds:.1f} s, undisturbed {quiet.seconds:.1f} s")
        assert answer.code == 0, f"{what}: {answer.text}"
        assert answer.transcript == quiet.transcript, what
        assert answer.seconds < quiet.seconds + LONGER, what
        return answer

    disturbed("the first node is killed", village.first.kill)
    village.first = village.run("first", "privox-node        ")
    disturbed("the farm moves", lambda: village.lab.readdress("farm"))
    disturbed("a router gets another address", lambda: village.lab.nat_readdress("lender1"))
    disturbed("the client has IPv6 now", lambda: village.lab.readdress("client", IPV6))
