"""`elman demo tag`: three taggers on the embedded corpus, what each of them remembers, and a look inside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import json_option
from elman.cli.output import emit_json, heading, note, percent, shell, table
from elman.cli.tasks.demo import prepare, trained

if TYPE_CHECKING:
    from pathlib import Path

    from elman.tasks.tagging.network_model import Tagger
    from elman.text import Sentence

# Small, so that the whole demo takes a minute or two on two cores; and trained so briefly that the two kinds of memory
# differ: after twelve epochs the Elman network remembers most of these distances too.
_SHARED: dict[str, Any] = {
    "hidden_size": 32,
    "word_size": 16,
    "char_size": 0,
    "form_size": 0,
    "dropout": 0.0,
    "word_dropout": 0.0,
    "unknown": 0.0,
    "average": 0.0,
    "learning_rate": 0.01,
}
MODELS: dict[str, dict[str, Any]] = {
    "elman": {"cell": "elman", "one_way": True},
    "lstm": {"cell": "lstm", "one_way": True},
    "bilstm": {"cell": "lstm", "one_way": False},
}
TITLES = {"elman": "an Elman network", "lstm": "an LSTM", "bilstm": "an LSTM in both directions"}
BANDS = ((1, 2), (3, 5), (6, 10), (11, 15), (16, 20))
SENTENCE = "the boys that the dog saw near the old barn must be your sheep ."
GOLD = "DT NNS WDT DT NN VBD IN DT JJ NN MD VB PRP$ NNS ."
SHOWN = "lstm"  # the model of the report
SAMPLE, PROBED = 100, 2000  # sentences for its memory horizon, tokens for its probe


@click.command("tag", short_help="Train three taggers on an embedded corpus, in a minute or two.")
@click.option("--out", default="elman-demo", show_default=True, metavar="DIR", help="The folder to write into.")
@click.option("--sentences", type=click.IntRange(min=10), default=4000, show_default=True, metavar="N")
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True, metavar="N")
@json_option
def demo(out: str, sentences: int, epochs: int, as_json: bool) -> None:
    """Train three taggers on an embedded corpus and see what each remembers (a minute or two).

    In every sentence of the corpus one word (sheep, fish) is singular or plural, and only one other word tells which, 1
    to 20 words before or after it. An Elman network, an LSTM, and an LSTM in both directions learn to tag it. A second
    run in the same folder uses what exists there, and resumes where the first one stopped. At the end it writes
    report.html, which shows the inside of the LSTM: see docs/reading-the-report.md; and model.html, in which the best
    of the three tags what is typed: see docs/export.md.
    """
    from pathlib import Path

    from elman.text.grammar import write_corpus

    folder = Path(out)

    def corpus(where: Path) -> str:
        words = sum(file["word_count"] for file in write_corpus(where, sentences)["files"])
        return f"{sentences:,} sentences, {words:,} words"

    prepare(folder, {"sentences": sentences, "epochs": epochs}, MODELS, corpus)
    taggers: dict[str, Tagger] = {
        name: trained(folder, name, title, partial(_train, folder, name, epochs)) for name, title in TITLES.items()
    }
    results = _score(taggers, folder / "corpus" / "test.conllu")
    best = max(results, key=lambda name: results[name]["accuracy"])
    tagged = list(zip(SENTENCE.split(), taggers[best](SENTENCE.split()), strict=True))
    report, page = _report(folder, taggers), _page(folder, taggers[best], TITLES[best])
    if as_json:
        answer = {"out": out, "models": results, "best": best, "tagged": tagged}
        emit_json({**answer, "report": str(report), "page": str(page)})
    else:
        _print(results, tagged, TITLES[best])
    model = shell(folder / best)
    note(f"\n{report}: what the LSTM does inside, step by step; open it in a browser")
    note(f"{page}: {TITLES[best]} that tags what you type in the browser")
    note("\nNow try:")
    note(f"  elman inspect {model} 'the deer that the girls like sleeps .'")
    note(f"  echo 'the deer that the girls like sleeps .' | elman predict {model}")
    note(f"  elman eval {model} {shell(folder / 'corpus' / 'test.conllu')}")
    note(f"  elman info {model}")
    note("  elman train tag --train YOUR.conllu --dev 10% --out my-tagger")


def _train(folder: Path, name: str, epochs: int, out: Path, resume: bool) -> Tagger:
    from elman.tasks.tagging.network_model import Tagger
    from elman.text import read
    from elman.training import make_progress

    files = {part: folder / "corpus" / f"{part}.conllu" for part in ("train", "dev")}
    data = {part: read(path, column="xpos") for part, path in files.items()}
    return Tagger(**_SHARED, **MODELS[name], epochs=epochs).fit(
        data["train"],
        data["dev"],
        out=out,
        resume=resume,
        progress=make_progress(),
        reading={"format": "conllu", "column": "xpos", "encoding": "utf-8"},
    )


def _score(taggers: Mapping[str, Tagger], test: Path) -> dict[str, dict[str, Any]]:
    """For each model its accuracy, and that on the ambiguous words by side and distance as (correct, total)."""
    from elman.metrics.distance import accuracy_by_distance
    from elman.text import read

    sentences: list[Sentence] = read(test, column="xpos")
    gold = [sentence.tags or [] for sentence in sentences]
    keys = {key: [s.tags or [] for s in read(test, column=f"misc:{key}")] for key in ("Distance", "Side")}
    misc = [
        ["_" if d == "_" else f"Distance={d}|Side={s}" for d, s in zip(distances, sides, strict=True)]
        for distances, sides in zip(keys["Distance"], keys["Side"], strict=True)
    ]
    results: dict[str, dict[str, Any]] = {}
    for name, tagger in taggers.items():
        guesses = [answer.tags for answer in tagger.predict(sentences)]
        right = sum(a == b for one, other in zip(gold, guesses, strict=True) for a, b in zip(one, other, strict=True))
        counts = accuracy_by_distance(gold, guesses, misc)
        results[name] = {"accuracy": right / sum(map(len, gold)), "by_distance": counts}
    return results


def _report(folder: Path, taggers: Mapping[str, Tagger]) -> Path:
    """Write the report on one sentence, the models side by side where possible."""
    from elman.cli.models import history
    from elman.inspect.data_survey import survey
    from elman.inspect.looking import look
    from elman.inspect.report import write
    from elman.text import read

    model = taggers[SHOWN]
    surveyed = survey(model, read(folder / "corpus" / "test.conllu", column="xpos"), count=SAMPLE, tokens=PROBED)
    extras = {**surveyed.extras, "history": history(folder / SHOWN)}
    beside = {TITLES[name]: tagger for name, tagger in taggers.items() if name != SHOWN}
    view = look(
        model, SENTENCE, GOLD.split(), title=TITLES[SHOWN], extras=extras, warnings=surveyed.warnings, beside=beside
    )
    write(view, folder / "report.html")
    return folder / "report.html"


def _page(folder: Path, model: Tagger, title: str) -> Path:
    """Write the model as a page."""
    from elman.export.page import write

    write(model, folder / "model.html", text=SENTENCE, title=title[:1].upper() + title[1:])
    return folder / "model.html"


def _share(result: Mapping[str, Any], side: str, low: int, high: int) -> float | None:
    """The share of the ambiguous words at these distances that is tagged correctly."""
    counts = [result["by_distance"].get(side, {}).get(n, (0, 0)) for n in range(low, high + 1)]
    right, total = (sum(column) for column in zip(*counts, strict=True))
    return right / total if total else None


def _print(results: Mapping[str, Mapping[str, Any]], tagged: list[tuple[str, str]], best: str) -> None:
    sides = {"left": "the word that settles it comes before", "right": "the word that settles it comes later"}
    print("Accuracy (%) on the ambiguous words, by distance (in words) to the word that settles them:")
    for side, title in sides.items():
        heading(f"{side}: {title}")
        rows = [
            [f"{low}-{high}", *(percent(_share(result, side, low, high)) for result in results.values())]
            for low, high in BANDS
        ]
        rows.append(["all", *(percent(_share(result, side, 1, BANDS[-1][1])) for result in results.values())])
        table(["distance", *results], rows)
    print()
    table(["all-words", *results], [["accuracy", *(percent(result["accuracy"]) for result in results.values())]])
    far = {name: percent(_share(result, "left", *BANDS[-1])) for name, result in results.items()}
    later = {name: percent(_share(result, "right", 1, BANDS[-1][1])) for name, result in results.items()}
    print(
        "\nGuessing gives 50. What comes before must be remembered: over "
        f"{BANDS[-1][0]} words or more the Elman network\ngets {far['elman']} of these words right, the LSTM, whose "
        f"gates can hold on to something, {far['lstm']}. What comes later\nis hidden from both, so they guess; the "
        f"LSTM that also reads backwards knows it: {later['bilstm']}.\n"
        "How soon a network learns to remember is part of it: with --epochs 12 the gap on the left narrows."
    )
    print(f"\nA sentence, tagged by {best}:\n")
    print(" ".join(f"{word}/{tag}" for word, tag in tagged))
