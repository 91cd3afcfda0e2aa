"""Sequence to sequence, as the commands see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from elman.cli.tasks.base import Answers, Reader, Task
from elman.cli.tasks.seq2seq.reading import COLUMNS, how_to_read, pair_options
from elman.cli.tasks.seq2seq.searching import join_ensemble, search_options
from elman.cli.tasks.seq2seq.settings import FORMATS, TABLE

if TYPE_CHECKING:
    from elman.text.pair import Pair
    from elman.text.report import Report
    from elman.text.skipping import Skipped


class Seq2SeqTask(Task):
    """Sources with targets."""

    name = "seq2seq"
    models = "Sequence to sequence"
    unit = "pair"
    entries = "symbols"
    likely = True
    table = TABLE
    formats = FORMATS
    help = """Train a model that reads one sequence and writes another: inflection, pronunciation, spelling, translation.

    \b
    elman train seq2seq --train train.tsv --dev dev.tsv --test test.tsv --out my-model
    elman train seq2seq --train words.tsv --dev 10% --target-tokenizer space --attention hard --monotonic --out sounds
    elman train seq2seq --train forms.tsv --source-column 1 --target-column 2 --features-column 3 --dev 10% --out forms
    elman train seq2seq --train train.de::train.en --dev dev.de::dev.en --config words.toml --out de-en

    Pairs are rows of a table (tsv, csv), JSON lines, or two parallel files. --attention hard --monotonic sums out the
    alignment exactly and never moves back: for spelling and pronunciation. --model selects a rival of the network:
    copying, memorising, the rules of prefixes and suffixes, or the joint n-gram transducer.
    """  # noqa: E501
    examples = {
        "check": ("elman check --task seq2seq train.tsv dev.tsv",),
        "train": ("elman train seq2seq --train pairs.tsv --dev 10% --out my-model",),
        "compare": ("elman compare seq2seq train.tsv dev.tsv test.tsv",),
        "eval": ("elman eval my-model test.tsv --beam 5 --nbest 5",),
        "predict": (
            "echo geese | elman predict my-model",
            "elman predict my-model words.txt --beam 5 --nbest 3 -p",
        ),
        "score": ("elman score my-model pairs.tsv | sort -n | head",),
        "inspect": ("elman inspect my-model geese --gold goose --html report.html",),
    }
    notes = {
        "predict": """With a model of sequence to sequence:

        \b
        text     one source per line; comes out as its answer; -p adds TAB, log-probability; with --nbest N
                 N lines per source, best first, and an empty line
        csv, tsv get the column predicted, or predicted_1 ... predicted_N; -p adds log_probability ...
        jsonl    gets the key "predicted" (with --nbest a list); -p adds "log_probability" """,
    }

    def options(self, command: str) -> list[click.Option]:
        """How pairs are read, and how answers are searched for."""
        more: dict[str, list[click.Option]] = {
            "check": [click.Option(["--several"], is_flag=True, help="A source may have several right targets.")],
            "eval": search_options(
                click.Option(["--text-scores"], is_flag=True, help="BLEU and chrF too (needs sacrebleu).")
            ),
            "predict": search_options(
                click.Option(
                    ["--length-penalty"],
                    type=click.FloatRange(0, 10),
                    metavar="X",
                    help="Rank by log p / length^X (default: 0, 1 for words).",
                ),
                click.Option(["--min-length"], type=click.IntRange(min=0), default=0, metavar="N", help="In symbols."),
                click.Option(["--max-length"], type=click.IntRange(min=1), metavar="N", help="In symbols."),
                click.Option(
                    ["--temperature"],
                    type=float,
                    default=0.0,
                    metavar="X",
                    help="Draw answers instead; 1: from p itself.",
                ),
                click.Option(["--seed"], type=click.IntRange(min=0), default=1, metavar="N", help="Of what is drawn."),
            ),
            "inspect": [
                click.Option(["--gold"], metavar="ANSWERS", help="The target to explain."),
                click.Option(["--features"], metavar="TEXT", help="Features of the source, as V;PST."),
            ],
        }
        return [*pair_options(), *more.get(command, [])]

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"echo geese | elman predict {folder}", f"elman eval {folder} FILE"]

    def reader(self, path: str, given: Mapping[str, Any], config: Mapping[str, Any] | None) -> Reader:
        """Pairs, from files that are all read as `path` is."""
        if config is not None:
            return _Pairs(how_to_read(path, given, config, answered=True))
        how = {key: given.get(key) for key in ("format", *COLUMNS)}
        return _Pairs(how | {"encoding": given.get("encoding") or "utf-8", "several": bool(given.get("several"))})

    def check(self, files: Sequence[str], given: Mapping[str, Any]) -> Report:
        """Check files of pairs."""
        from elman.text.check_pairs import check_pairs

        options = {key: given[key] for key in (*COLUMNS, "several", "skip_broken")}
        return check_pairs(files, given["format"], encoding=given["encoding"] or "utf-8", **options)

    def print_check(self, report: Any) -> None:
        """Counts, lengths, new symbols, contradictions."""
        from elman.cli.tasks.seq2seq.check import print_report

        print_report(report)

    def score(self, model: Any, data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """Accuracy, edits, error rates."""
        join_ensemble(model, given)
        options = {"beam": given["beam"], "nbest": given["nbest"] or 1, "text_scores": given["text_scores"]}
        result: dict[str, Any] = model.evaluate(data, **options).to_json()
        return result

    def scores(self, result: Mapping[str, Any]) -> dict[str, float | None]:
        """The main scores of a result by name."""
        names = ("accuracy", "seen_accuracy", "unseen_accuracy", "symbol_error_rate", "mean_edit_distance")
        scores = {name: result[name] for name in names if result[name] is not None}
        best = {f"accuracy_at_{k}": value for k, value in result["accuracy_at"].items() if k != "1"}
        return scores | best | {name: result[name]["score"] for name in ("bleu", "chrf") if result[name]}

    def show(self, name: str, value: float | None) -> str:
        """Shares as percentages."""
        if value is None or name in ("mean_edit_distance", "bleu", "chrf"):
            return "-" if value is None else f"{value:.3f}" if name == "mean_edit_distance" else f"{value:.2f}"
        return super().show(name, value)

    def answers(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """Sources get answers."""
        from elman.cli.tasks.seq2seq.predict import Written

        return Written(file, given, config)

    def scoring(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> Answers:
        """Targets, given their sources."""
        from elman.cli.tasks.seq2seq.score import Likelihoods

        return Likelihoods(file, given, config)

    def looked_at(self, text: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Any, list[str] | None]:
        """A source with its features, and its target, which the model splits."""
        from elman.text.pair import Pair, cut_features

        separator = given["features_separator"] or config["reading"].get("features_separator") or ";"
        features = cut_features(given["features"] or "", separator)
        return Pair(text, None if given["gold"] is None else [given["gold"]], features), None


class _Pairs(Reader):
    """Pairs. What the first file determines, such as its columns, applies to the others."""

    def __init__(self, how: Mapping[str, Any]) -> None:
        self.how = dict(how)

    def read(self, path: str, skipped: Skipped | None = None) -> list[Pair]:
        from elman.text.pairs import iter_pairs

        pairs = iter_pairs(path, skip_broken=False if skipped is None else skipped, **self.how)
        read = list(pairs)
        self.how = pairs.how
        return read

    def count(self, data: list[Pair]) -> str:
        several = sum(len(pair.targets or ()) for pair in data)
        more = f", {several:,} targets" if several != len(data) else ""
        return f"{len(data):,} pairs{more}"

    def describe(self, train: list[Pair]) -> dict[str, Any]:
        kept = ("format", "encoding", *COLUMNS)
        return {key: self.how[key] for key in kept if self.how.get(key) is not None}


TASK = Seq2SeqTask()
