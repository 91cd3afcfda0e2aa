"""A model's page in Chromium: seconds to start, peak memory of its tab, size, words per second, milliseconds per word
typed."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import elman
from elman.export import FORMATS, export
from machine import machine

# Milliseconds from each word typed until its answer is on the page and laid out.
TYPING = """async (texts) => {
  const box = document.getElementById("typed");
  const row = document.querySelector("[data-answers]");
  const found = [];
  for (const words of texts.map((text) => text.split(" "))) {
    for (let k = 1; k <= words.length; k++) {
      box.value = words.slice(0, k).join(" ");
      const began = performance.now();
      box.dispatchEvent(new Event("input"));
      while (row.dataset.text !== box.value) await new Promise((done) => setTimeout(done, 0));
      row.getBoundingClientRect();
      found.push(performance.now() - began);
    }
  }
  return found;
}"""
# Words per second, after a first text.
ANSWERING = """(texts) => {
  elman.answer(texts[0]);
  const began = performance.now();
  let words = 0;
  for (const text of texts) words += elman.answer(text).tokens.length;
  return words / (performance.now() - began) * 1000;
}"""


def measure(model: Any, texts: list[str], weights: str, typed: int = 20, runs: int = 3) -> dict[str, float] | None:
    """What a page costs: {"start" seconds, "memory" MB, "size" bytes, "words_per_second", "typing" median milliseconds,
    "slowest" milliseconds}; None where there is no Chromium or no playwright. The median of `runs`, each in a new tab;
    starting the browser itself is not counted. typed: texts that are typed word by word."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if program is None:
        return None
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        file = Path(folder) / "model.html"
        export(model, "page", file, weights=weights, text="")
        for _ in range(runs):
            browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("html.live")
            one: dict[str, float] = {"start": time.perf_counter() - began, "size": file.stat().st_size}
            one["words_per_second"] = page.evaluate(ANSWERING, texts)
            times = page.evaluate(TYPING, texts[:typed])
            one |= {"typing": statistics.median(times), "slowest": max(times), "memory": peak(browser)}
            browser.close()
            for name, value in one.items():
                found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def peak(browser: Any) -> float:
    """The most memory that the tab's process had, in MB; not a number where the system does not say."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    peaks = [0.0]
    for process in processes:
        status = Path(f"/proc/{process['id']}/status")
        if process["type"] == "renderer" and status.exists():
            lines = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            peaks += [int(words[1]) / 1024 for words in lines]
    return max(peaks) or float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the folder of a model")
    parser.add_argument("file", help="CoNLL-U, or a text of one line each")
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--typed", type=int, default=20, help="of them, those typed word by word")
    parser.add_argument("--weights", nargs="+", default=list(FORMATS["page"].weights))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = elman.load(given.model)
    if ".conllu" in given.file:
        texts = [" ".join(sentence.words) for sentence in elman.read(given.file, column="upos")]
    else:
        texts = Path(given.file).read_text(encoding="utf-8").splitlines()
    rows = {
        weights: measure(model, texts[: given.texts], weights, given.typed, given.runs) for weights in given.weights
    }
    if given.json:
        print(json.dumps(rows))
        return
    print(machine(), f"median of {given.runs}", sep=", ")
    for weights, row in rows.items():
        if row is None:
            print(f"{weights}: no Chromium")
            continue
        print(
            f"{weights}: {row['size'] / 1e6:.2f} MB, starts in {row['start']:.2f} s, {row['memory']:.0f} MB at most, "
            f"{row['words_per_second']:,.0f} words/s, a typed word answered in {row['typing']:.1f} ms "
            f"(slowest {row['slowest']:.0f} ms)"
        )


if __name__ == "__main__":
    main()
