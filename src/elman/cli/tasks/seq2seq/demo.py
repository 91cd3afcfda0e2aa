"""`elman demo seq2seq`: why attention: three networks read made-up words aloud, the longer the harder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import json_option
from elman.cli.output import emit_json, note, percent, shell, table
from elman.cli.tasks.demo import prepare, trained

if TYPE_CHECKING:
    from pathlib import Path

    from elman.tasks.seq2seq.network_model import Seq2Seq

# Small, and trained briefly, so that the whole demo takes about a minute on two cores.
_SHARED: dict[str, Any] = {
    "hidden_size": 64,
    "embedding_size": 24,
    "dropout": 0.0,
    "unknown": 0.0,
    "label_smoothing": 0.0,
    "average": 0.0,
    "learning_rate": 0.01,
    "batch_tokens": 400,
}
MODELS: dict[str, dict[str, Any]] = {
    "none": {"attention": "none"},
    "attention": {"attention": "general"},
    "hard": {"attention": "hard", "monotonic": True},
}
TITLES = {
    "none": "a fixed vector, no attention",
    "attention": "attention",
    "hard": "hard monotonic attention, summed out",
}
BANDS = ((2, 5), (6, 10), (11, 16), (17, 20))
KNOWN = 16  # letters of the longest word to train on
WORD = "gesochaxirhennicola"
SHOWN = "attention"  # the model of the report


@click.command("seq2seq", short_help="Why attention: accuracy by the length of the source.")
@click.option("--out", default="elman-demo-seq2seq", show_default=True, metavar="DIR", help="The folder to write into.")
@click.option("--pairs", type=click.IntRange(min=20), default=4000, show_default=True, metavar="N", help="To train on.")
@click.option("--epochs", type=click.IntRange(min=1), default=10, show_default=True, metavar="N")
@json_option
def demo(out: str, pairs: int, epochs: int, as_json: bool) -> None:
    """Train three networks to read words aloud, and see what a fixed vector does not hold (about a minute).

    The words are made up, of 2 to 16 letters, and almost every letter has one sound. A network without attention must
    put the whole word into one vector before it writes; attention looks at the letters again at each sound; hard
    monotonic attention goes through them once, and sums over all ways to do so. The test has words of up to 20 letters.
    A second run in the same folder uses what exists there, and resumes where the first one stopped. At the end it
    writes accuracy.svg, accuracy by length, report.html, a look inside the network with attention, and model.html, in
    which it reads what is typed.
    """
    from pathlib import Path

    from elman.tasks.seq2seq.network_model import Seq2Seq
    from elman.text.pairs import read_pairs
    from elman.text.spelling import write_corpus
    from elman.training import make_progress

    folder = Path(out)

    def corpus(where: Path) -> str:
        return f"{sum(file['pairs'] for file in write_corpus(where, pairs)['files']):,} words"

    prepare(folder, {"pairs": pairs, "epochs": epochs}, MODELS, corpus)
    data = {part: read_pairs(folder / "corpus" / f"{part}.tsv", "tsv") for part in ("train", "dev", "test")}

    def train(name: str, where: Path, resume: bool) -> Any:
        return Seq2Seq(**_SHARED, **MODELS[name], epochs=epochs).fit(
            data["train"],
            data["dev"],
            out=where,
            resume=resume,
            progress=make_progress(),
            reading={"format": "tsv", "encoding": "utf-8"},
        )

    models = {name: trained(folder, name, title, partial(train, name)) for name, title in TITLES.items()}
    results = {name: _score(model, data["test"]) for name, model in models.items()}
    read = {name: model(WORD) for name, model in models.items()}
    drawing, report, page = _draw(folder, results), _report(folder, models), _page(folder, models[SHOWN])
    if as_json:
        answer = {"out": out, "models": results, "word": WORD, "read": read}
        emit_json({**answer, "report": str(report), "page": str(page)})
    else:
        _print(results, read)
    note(f"\n{drawing}: accuracy by length, as a picture")
    note(f"{report}: what the network with attention does inside, and what it reads from where; open it in a browser")
    note(f"{page}: the same network, which reads the words that you type in the browser")
    note("\nNow try:")
    note(f"  echo exciges | elman predict {shell(folder / 'hard')}")
    note(f"  elman inspect {shell(folder / 'hard')} exciges")
    note("  elman train seq2seq --train YOUR.tsv --dev 10% --out my-model")


def _score(model: Seq2Seq, pairs: Any) -> dict[str, Any]:
    """Its accuracy, and by the length of the source (right, total)."""
    counts: dict[int, tuple[int, int]] = {}
    right = 0
    for pair, answer in zip(pairs, model.predict(pairs), strict=True):
        hit = answer.text in (pair.targets or ())
        hits, total = counts.get(len(pair.source), (0, 0))
        counts[len(pair.source)] = hits + hit, total + 1
        right += hit
    return {"accuracy": right / len(pairs), "by_length": dict(sorted(counts.items()))}


def _draw(folder: Path, results: Mapping[str, Mapping[str, Any]]) -> Path:
    from elman.inspect.figures import figure
    from elman.training import atomic

    curves = {
        name: {length: hits / total for length, (hits, total) in result["by_length"].items()}
        for name, result in results.items()
    }
    drawing = figure("accuracy_by_length")(curves, known=KNOWN)
    atomic.replace_file(folder / "accuracy.svg", drawing.svg().encode("utf-8"))
    return folder / "accuracy.svg"


def _report(folder: Path, models: Mapping[str, Seq2Seq]) -> Path:
    """Write the report on one word, the models side by side where possible."""
    from elman.cli.models import history
    from elman.inspect.looking import look
    from elman.inspect.report import write
    from elman.text.pair import Pair
    from elman.text.spelling import pronounce

    extras = {"history": history(folder / SHOWN)}
    beside = {TITLES[name]: model for name, model in models.items() if name != SHOWN}
    pair = Pair(WORD, [pronounce(WORD)])
    write(look(models[SHOWN], pair, title=TITLES[SHOWN], extras=extras, beside=beside), folder / "report.html")
    return folder / "report.html"


def _page(folder: Path, model: Seq2Seq) -> Path:
    """Write the model as a page."""
    from elman.export.page import write

    write(model, folder / "model.html", text=WORD, title=f"A network with {TITLES[SHOWN]} reads words aloud")
    return folder / "model.html"


def _share(result: Mapping[str, Any], low: int, high: int) -> float | None:
    counts = [count for length, count in result["by_length"].items() if low <= length <= high]
    return sum(hits for hits, _ in counts) / sum(total for _, total in counts) if counts else None


def _print(results: Mapping[str, Mapping[str, Any]], read: Mapping[str, str]) -> None:
    from elman.text.spelling import pronounce

    print("Words read without a mistake (%), by their letters; in training they had up to 16:")
    rows = [
        [f"{low}-{high}", *(percent(_share(result, low, high)) for result in results.values())] for low, high in BANDS
    ]
    rows.append(["all", *(percent(result["accuracy"]) for result in results.values())])
    table(["letters", *results], rows)
    far, near = (
        {name: percent(_share(result, *band)) for name, result in results.items()} for band in (BANDS[-1], BANDS[0])
    )
    print(
        f"\nWithout attention the whole word must fit into one vector: {near['none']} at up to {BANDS[0][1]} letters, "
        f"{far['none']} at {BANDS[-1][0]} and more.\nAttention reads each letter when it is needed: "
        f"{near['attention']} and {far['attention']}. Hard monotonic attention knows that one reads from\n"
        f"left to right, so longer words than it ever saw are no harder: {near['hard']} and {far['hard']}."
    )
    print(f"\n{WORD}, read aloud {pronounce(WORD)}:\n")
    table(["network", "reads"], [[name, text] for name, text in read.items()], left=2)
