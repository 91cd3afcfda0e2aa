"""Every example of docs/serving.md runs against a server; so do the image's and the unit's command lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.serve.conftest import Server

from elman.cli.serve import serve
from elman.serve.config import ServeConfig

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def place(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the examples."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(folders["delayed"], folder / "my-tagger")
    shutil.copytree(folders["lm"], folder / "english")
    return folder


@pytest.fixture(scope="module")
def documented(place: Path) -> Server:
    running = Server({name: place / name for name in ("my-tagger", "english")}, place / "log")
    yield running
    assert running.stop() == 0 and '"event":"bug"' not in running.path.read_text(encoding="utf-8")


def run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(command, cwd=place, env=os.environ, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran


def of_port(code: str, server: Server) -> str:
    return code.replace("127.0.0.1:8100", f"127.0.0.1:{server.port}")


def test_curl(documented: Server, place: Path) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    (lines,) = blocks("sh")
    outputs = []
    for line in lines.splitlines():
        plain = re.sub(r"--json ('.*?')", r"-H 'content-type: application/json' -d \1", line)  # for curl before 7.82
        outputs.append(run(["bash", "-c", of_port(plain, documented) + " -sS --fail"], place).stdout)
    listed, one, many, streamed, drawn = outputs
    assert [model["name"] for model in json.loads(listed)["models"]] == ["my-tagger", "english"]
    assert len(json.loads(one)["answer"]["tags"]) == 4
    assert [len(answer["probabilities"]) for answer in json.loads(many)["answers"]] == [2, 2]
    assert [json.loads(line)["words"] for line in streamed.splitlines()] == [["one"], ["a", "line"]]
    assert drawn.count('data: {"text"') == 20 and drawn.endswith("event: end\ndata: {}\n\n")


def test_python(documented: Server, place: Path) -> None:
    session, client = blocks("python")
    for code, count in ((session, 5), (client, 6)):
        out = run([sys.executable, "-c", of_port(code, documented)], place).stdout
        assert len(out.splitlines()) == count


def test_javascript(documented: Server, place: Path) -> None:
    (code,) = blocks("js")
    probe = "process.exit(typeof fetch === 'function' && typeof WebSocket === 'function' ? 0 : 1)"
    ways = [["node"], ["node", "--experimental-websocket"]] if shutil.which("node") else []
    node = next((way for way in ways if not subprocess.run([*way, "-e", probe], capture_output=True).returncode), None)
    if node is None:
        pytest.skip("needs a Node that has fetch and WebSocket")
    (place / "example.mjs").write_text(of_port(code, documented), encoding="utf-8")
    out = run([*node, "example.mjs"], place).stdout
    assert len(out.splitlines()) == 2 and "[" in out


def test_every_option_is_documented() -> None:
    for setting in ServeConfig.settings():
        if setting.flags not in ("--host", "--port", "--threads", "--batch-wait", "--batch-tokens"):
            assert setting.flags in GUIDE, setting.flags


def test_the_image_and_the_unit_call_what_there_is(monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> None:
    called = []
    monkeypatch.setattr(
        "elman.serve.server.serve", lambda folders, settings, **more: called.append((folders, settings))
    )
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    unit = (ROOT / "deploy" / "elman.service").read_text(encoding="utf-8")
    assert "USER elman" in dockerfile and "DynamicUser=yes" in unit
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)[0])
    (start,) = re.findall(r"^ExecStart=(\S+) (.*)$", unit, re.MULTILINE)
    model = f"my-tagger={folders['both']}"
    for arguments in ([*entry[2:], model], start[1].replace("$MODELS", model).split()[1:]):
        ran = CliRunner().invoke(serve, arguments)
        assert ran.exit_code == 0, ran.output
    assert [settings.host for _, settings in called] == ["0.0.0.0", "127.0.0.1"]
    assert called[1][1].reload and list(called[0][0]) == ["my-tagger"]
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split()), copied


def test_requests_that_wait_take_turns(start: Callable[..., Server]) -> None:
    """`--batch-wait` gathers what comes within it: few batches for many requests."""
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    server = start("both", "--batch-wait", "0.3", "--quiet")
    with httpx.Client(base_url=server.url, timeout=60) as http:

        def ask(_: int) -> int:
            return http.post("/v1/models/both/predict", json={"text": ["the"]}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(8))) == {200}
        counters = dict(line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if line[:1] != "#")
    assert float(counters["elman_batch_texts_sum"]) == 8 > float(counters["elman_batch_texts_count"])
