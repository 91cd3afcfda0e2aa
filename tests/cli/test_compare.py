"""`elman compare`: every number of the table again, by other commands and by enumeration; what goes wrong; stopping."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elman.cli.compare import read_systems, split_systems
from elman.cli.tasks.tag.task import TASK
from elman.errors import UsageError
from elman.tasks.compare.systems import default_systems, make_system, require_distinct

NETWORK = (
    "network:hidden_size=6,word_size=8,char_size=0,form_size=0,epochs=4,average=0,learning_rate=0.02,batch_tokens=100"
)
SYSTEMS = ["majority", "hmm:smoothing=0.1", "crf", NETWORK]


@pytest.fixture(scope="module")
def compared(elman, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A comparison on dev in which python-crfsuite is not there."""
    base = tmp_path_factory.mktemp("compare")
    (base / "stub").mkdir()
    (base / "stub" / "pycrfsuite.py").write_text("raise ImportError('not here')\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(base / "stub"))
        ran = elman(*command(corpus, base / "out", *SYSTEMS), "--json")
    assert ran.code == 0, ran.err
    return base / "out", json.loads(ran.out)


def command(corpus: Path, out: Path, *systems: str) -> list[str]:
    files = [str(corpus / f"{part}.conllu") for part in ("train", "dev")]
    more = ["--column", "xpos", "--systems", ",".join(systems), "--seeds", "2", "--threads", "1", "--out", str(out)]
    return ["compare", "tag", *files, *more]


def rows(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["system"]: row for row in answer["systems"]}


def test_scores_are_those_of_eval(elman, corpus: Path, compared) -> None:
    out, answer = compared
    assert [row["system"] for row in answer["systems"]] == SYSTEMS
    for name, folders in {
        "majority": ["majority-1"],
        "hmm:smoothing=0.1": ["hmm-smoothing=0.1-1"],
        NETWORK: [f"{NETWORK.replace(':', '-')}-{seed}" for seed in (1, 2)],
    }.items():
        found = []
        for folder in folders:
            ran = elman("eval", out / folder, corpus / "dev.conllu", "--json")
            found.append(json.loads(ran.out))
        row = rows(answer)[name]
        assert row["scores"] == pytest.approx([each["accuracy"] for each in found], abs=1e-12)
        assert row["mean"] == pytest.approx(statistics.fmean(row["scores"]), abs=1e-12)
        assert row["deviation"] == (None if len(found) == 1 else pytest.approx(statistics.stdev(row["scores"])))
        for key in ("seen_accuracy", "unseen_accuracy"):
            values = [each[key] for each in found if each[key] is not None]
            assert row["more"][key] == (pytest.approx(statistics.fmean(values)) if values else None)
        assert row["seeds"] == list(range(1, len(found) + 1)) and row["problems"] == {}
        sizes = [sum(f.stat().st_size for f in (out / folder).iterdir()) for folder in folders]
        assert row["size"] == max(sizes) and row["memory"] > 50e6 and row["speed"] > 0 and row["seconds"] >= 0
        assert row["interval"]["low"] <= row["interval"]["value"] <= row["interval"]["high"]
        assert row["interval"]["value"] == pytest.approx(row["mean"], abs=1e-12)  # of as many tokens in each
    scores = [json.loads((out / folder / "config.json").read_text())["settings"]["seed"] for folder in folders]
    assert scores == [1, 2]


def test_p_is_that_of_all_exchanges(corpus: Path, compared) -> None:
    out, answer = compared
    best = answer["best_rival"]
    rivals = {name: row["mean"] for name, row in rows(answer).items() if name in ("majority", "hmm:smoothing=0.1")}
    assert rivals[best] == max(rivals.values()) and rows(answer)[best]["test"] is None
    folders = {"majority": ["majority-1"], "hmm:smoothing=0.1": ["hmm-smoothing=0.1-1"]}
    folders[NETWORK] = [f"{NETWORK.replace(':', '-')}-{seed}" for seed in (1, 2)]
    tables = {name: np.mean([np.load(out / f"{f}.npy") for f in each], 0) for name, each in folders.items()}
    for name in folders.keys() - {best}:
        a, b = tables[best][:, 0], tables[name][:, 0]
        gap = abs(a.sum() - b.sum())
        flips = [np.array(signs) for signs in itertools.product((1, -1), repeat=len(a))]
        exact = np.mean([abs(((a - b) * signs).sum()) >= gap - 1e-9 for signs in flips])
        assert rows(answer)[name]["test"]["p"] == pytest.approx(exact, abs=0.02)
        assert rows(answer)[name]["test"]["a"] == pytest.approx(rows(answer)[best]["mean"])


def test_a_missing_extra_is_a_row_with_its_reason(compared) -> None:
    row = rows(compared[1])["crf"]
    assert "elman[crf]" in row["problems"]["1"] and row["scores"] == [] and row["mean"] is row["test"] is None


def test_resume_keeps_what_is_there_and_tries_again_what_failed(elman, corpus: Path, compared, tmp_path: Path) -> None:
    pytest.importorskip("pycrfsuite")
    out, before = compared
    again = tmp_path / "again"
    shutil.copytree(out, again)
    ran = elman(*command(corpus, again, "majority", "crf", NETWORK))
    assert ran.code == 2 and "found a comparison" in ran.err
    ran = elman(*command(corpus, again, "majority", "crf", NETWORK), "--resume", "--markdown")
    assert ran.code == 0 and ran.err.count("finished already, kept") == 3, ran.err
    lines = ran.out.splitlines()
    assert re.fullmatch(r"\| system \|.*\| memory \|", lines[0]) and re.fullmatch(r"\| --- \|( ---: \|)+", lines[1])
    assert len({line.count("|") for line in lines[:5]}) == 1 and lines[3].startswith("| crf | 1 | ")
    mean = rows(before)["majority"]["mean"]
    assert f"| {100 * mean:.2f} |" in lines[2] and "higher is better" in ran.out
    other = corpus / "test.conllu"
    swapped = [str(other) if arg.endswith("dev.conllu") else arg for arg in command(corpus, again, "majority")]
    ran = elman(*swapped, "--resume")
    assert ran.code == 2 and "other values of files" in ran.err
    (again / "majority-1.npy").write_bytes(b"garbage")
    assert elman(*command(corpus, again, "majority"), "--resume", "-q").code == 4
    (again / "compare.json").write_text("[]")
    assert elman(*command(corpus, again, "majority"), "--resume", "-q").code == 4


def test_too_little_time_is_a_reason(elman, corpus: Path, tmp_path: Path) -> None:
    ran = elman(*command(corpus, tmp_path / "out", "majority"), "--max-time", "0.05s")
    assert ran.code == 2 and "not finished within 0.05 s" in ran.out and "no system could be trained" in ran.err


def test_stopping_keeps_what_is_finished(corpus: Path, compared, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared[0], out)
    slow = NETWORK.replace("epochs=4", "epochs=100000")
    arguments = [*command(corpus, out, "majority", slow), "--resume"]
    process = subprocess.Popen([sys.executable, "-m", "elman", *arguments], stderr=subprocess.PIPE, text=True)
    folder = out / f"{slow.replace(':', '-')}-1"
    while not (folder / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)  # which becomes Ctrl-C
    _, said = process.communicate(timeout=200)
    assert process.returncode == 130 and "1 of 3 trainings are finished" in said
    assert (folder / "training" / "current").exists() and (folder / "training" / "run.json").exists()
    runs = json.loads((out / "compare.json").read_text())["runs"]
    assert runs["majority-1"]["problem"] is None and folder.name not in runs
    with open(folder / "training" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody trains there any more, or this raises


# ---- what is asked for


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], []),
        (["hmm"], [("hmm", [])]),
        (["a, b ,"], [("a", []), ("b", [])]),
        (["a:k=v,l=w,b"], [("a:k=v,l=w", ["k=v", "l=w"]), ("b", [])]),
        (["a", "b:k=f.py:C,l=1"], [("a", []), ("b:k=f.py:C,l=1", ["k=f.py:C", "l=1"])]),
        (["a:k=1,b:k=2"], [("a:k=1", ["k=1"]), ("b:k=2", ["k=2"])]),
    ],
)
def test_systems_are_split(texts: list[str], expected: list[tuple[str, list[str]]]) -> None:
    assert split_systems(texts) == expected


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["k=v"], "expected a system such as network:k=v"),
        (["hmm,k=v"], "expected a system such as network:k=v"),
        (["hm"], "did you mean 'hmm'"),
        (["hmm:smothing=1"], "--systems hmm: unknown key 'smothing'"),
        (["hmm:smoothing=x"], "--systems hmm smoothing: expected a number"),
        (["hmm:hidden_size=3"], "unknown setting 'hidden_size'"),
        (["hmm:out=3"], "unknown setting 'out'"),
        (["hmm:smoothing=-1"], "smoothing: expected a number of 0 or more"),
        (["network:"], "expected key=value"),
        (["hmm,hmm"], "expected different systems"),
        (["hmm:smoothing=1", "HMM:smoothing=1"], "unknown model"),
    ],
)
def test_systems_that_are_none(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_systems(TASK, texts)


def test_systems() -> None:
    assert default_systems("tag")[0] == "majority" and default_systems("tag")[-1] == "network"
    hmm, network, given = read_systems(TASK, ["hmm,network:layers=2,network:seed=7"])
    assert not hmm.random and network.random and not given.random and network.settings == {"layers": 2}
    assert (hmm.seeds(3), network.seeds(3), given.seeds(3)) == ([1], [1, 2, 3], [7])
    assert make_system("tag", "network:cell=a/b.py:C", "hmm").folder(2) == "network-cell=a-b.py-C-2"
    with pytest.raises(UsageError, match="found none"):
        require_distinct([])


def test_models_without_statistics_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.tasks.model import Model
    from elman.tasks.tagging.rivals.majority import MajorityTagger

    monkeypatch.setattr(MajorityTagger, "statistics", Model.statistics)
    with pytest.raises(UsageError, match="tag majority has no statistics"):
        make_system("tag", "majority", "majority")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--resume"], 2, "--resume needs --out"),
        (["--json", "--markdown"], 2, "expected one of them"),
        (["--max-time", "soon"], 2, "--max-time: expected a duration"),
        (["--column", "nonsense"], 2, "column"),
        (["--seeds", "0"], 2, "seeds"),
    ],
)
def test_what_the_command_refuses(elman, corpus: Path, more: list[str], code: int, message: str) -> None:
    ran = elman("compare", "tag", corpus / "train.conllu", corpus / "dev.conllu", "--systems", "majority", *more)
    assert ran.code == code and message in ran.err and ran.out == ""


def test_folders_and_files_that_do_not_fit(elman, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    ran = elman(*command(corpus, tmp_path, "majority"))
    assert ran.code == 2 and "new or empty folder" in ran.err and (tmp_path / "mine").read_text() == "x"
    ran = elman("compare", "tag", tmp_path / "none.conllu", corpus / "dev.conllu", "--systems", "majority")
    assert ran.code == 3 and "none.conllu" in ran.err
    assert elman("compare", "tog").code == 2 and elman("compare").code == 0
