"""What Prometheus is told, checked by its own tool, and what the dashboard asks for."""

import json
import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from api_kit import Counting, clip
from gateway_kit import GatewayMesh
from kit import until
from prometheus_client.parser import text_string_to_metric_families

HERE = Path(__file__).parent
DASHBOARD = HERE.parents[1] / "deploy" / "grafana.json"
OF_GRAFANA = {"$__rate_interval": "5m", "$instance": ".*"}


async def exposition(folder: Path) -> str:
    """What a gateway tells that has done a job of each kind, and refused one."""
    async with GatewayMesh.opened(folder) as mesh, aiohttp.ClientSession(mesh.url) as session:
        await mesh.lend(Counting())
        await mesh.see()
        form = aiohttp.FormData()
        form.add_field("file", clip(1.5), filename="a.wav")
        await (await session.post("/v1/audio/transcriptions", data=form)).read()
        speech = {"model": "", "input": "a", "response_format": "wav"}
        await (await session.post("/v1/audio/speech", json=speech)).read()
        refused = {**speech, "voice": "nobody"}
        assert (await session.post("/v1/audio/speech", json=refused)).status == 404
        await until(lambda: mesh.gateway.server.jobs.running == 0)
        async with session.get("/metrics") as answer:
            return await answer.text()


def expressions() -> list[str]:
    """Those of the dashboard, as Prometheus gets them."""
    text = DASHBOARD.read_text()
    for variable, meant in OF_GRAFANA.items():
        text = text.replace(variable, meant)
    panels = json.loads(text)["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


async def test_every_metric_that_the_dashboard_asks_for_is_there(tmp_path: Path) -> None:
    told = await exposition(tmp_path)
    samples = {s.name: s.labels for f in text_string_to_metric_families(told) for s in f.samples}
    asked = [re.findall(r"\b(privox_\w+)", expression) for expression in expressions()]
    assert all(asked)
    assert {name for names in asked for name in names} <= set(samples)
    for expression in expressions():
        (by,) = re.findall(r"by \((.*?)\)", expression) or [""]
        for label in filter(None, by.split(", ")):
            assert label in samples[re.findall(r"privox_\w+", expression)[0]], expression


async def test_how_long_jobs_took_that_were_done_is_counted_in_steps(tmp_path: Path) -> None:
    told = await exposition(tmp_path)
    assert 'privox_gateway_job_seconds_bucket{le="+Inf",service="stt"} 1.0' in told
    assert 'privox_gateway_job_seconds_count{service="tts"} 1.0' in told
    assert 'privox_gateway_jobs_total{outcome="refused"} 1.0' in told
    assert 'privox_gateway_sound_seconds_total{service="stt"} 1.5' in told


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus' own tool, out of Debian's package."""
    folder = Path(sys.prefix) / "promtool"
    script = ("sh", str(HERE / "install_promtool.sh"), str(folder))
    said = subprocess.run(script, capture_output=True, text=True, timeout=250, check=False).stdout
    if not (folder / "promtool").is_file():
        pytest.skip(f"cannot be had here: {said.strip() or 'promtool'}")
    return folder / "promtool"


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_promtool_has_nothing_to_say_of_what_prometheus_is_told(
    promtool: Path, tmp_path: Path
) -> None:
    told = await exposition(tmp_path)
    command = [str(promtool), "check", "metrics"]
    ran = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.soak
def test_promtool_understands_what_the_dashboard_asks(promtool: Path, tmp_path: Path) -> None:
    rules = [{"record": f"asked:{n}", "expr": e} for n, e in enumerate(expressions())]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(rules)} rules found" in ran.stdout
