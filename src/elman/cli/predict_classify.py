"""`elman predict` with a classifier: every text gets its label, in the format in which it came."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elman.cli.output import note
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.tasks.classification.answers import Prediction
    from elman.text.example import Example
    from elman.text.labelled import Examples

# Enough for several batches of texts of like lengths, little enough that the first answers come soon.
BATCH_CHARACTERS = 20_000


def predict_classify(
    folder: Path,
    file: str,
    format_name: str | None,
    encoding: str | None,
    texts: dict[str, Any],
    output: str,
    probabilities: bool,
    as_json: bool,
    threads: int | None,
    allow_code: bool,
) -> None:
    """The work of `elman predict`; the answers come as soon as their texts are there."""
    from elman.cli.answers import as_line
    from elman.cli.models import load_model
    from elman.cli.stream import batches
    from elman.text.files import open_output

    examples = unlabelled(folder, file, format_name, encoding, texts)
    if output != "-" and file != "-" and os.path.exists(output) and os.path.samefile(file, output):
        raise UsageError(f"--output {output}: expected another file than the input, which it would destroy")
    model = load_model(folder, "classify", allow_code=allow_code)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    first, guesses = True, Guesses(file)
    with open_output(output) as out:
        writer = None
        for batch in batches(examples, BATCH_CHARACTERS, lambda example: len(example.text) + 1):
            answers = model.predict(batch, probabilities=probabilities)
            if writer is None:
                writer = Writer(examples, model.labels, probabilities, texts.get("separator") or "|")
            for example, answer in zip(batch, answers, strict=True):
                if first and examples.header_lines and not as_json:
                    out.write(writer.header(examples.header_lines))
                first = False
                out.write(as_line(answer_json(example, answer)) if as_json else writer.line(example, answer))
                guesses.look_at(example, answer)
            out.flush()
    guesses.tell()


def unlabelled(
    folder: Path, file: str, format_name: str | None, encoding: str | None, texts: dict[str, Any]
) -> Examples:
    """The texts of a file that need no labels. Says so where a terminal is waited for."""
    from elman.cli.models import read_config
    from elman.cli.texts import how_to_read
    from elman.text.labelled import iter_examples

    config = read_config(folder)
    several = bool(config["settings"].get("several"))
    how = how_to_read(file, format_name, encoding, texts, config["reading"], several=several, labelled=False)
    if file == "-" and sys.stdin is not None and sys.stdin.isatty():
        note(f"elman: reading {how['format']} from the terminal; Ctrl-D ends it")
    return iter_examples(file, allow_empty=True, **how)


class Guesses:
    """Counts the texts of which the model knows next to nothing, and says so at the end."""

    MOST, SHOWN = 0.9, 5  # share of unknown tokens; lines that are named

    def __init__(self, file: str) -> None:
        self.file = "standard input" if file == "-" else file
        self.lines: list[int] = []

    def look_at(self, example: Example, answer: Prediction) -> None:
        if answer.unknown is not None and answer.unknown >= self.MOST:
            self.lines.append(example.line)

    def tell(self) -> None:
        if not self.lines:
            return
        shown = ", ".join(map(str, self.lines[: self.SHOWN])) + (", ..." if len(self.lines) > self.SHOWN else "")
        texts = f"{len(self.lines):,} texts" if len(self.lines) > 1 else "1 text"
        note(
            f"elman: {self.file}: of {texts} the model knows at most a tenth of the words, so the labels are guesses "
            f"whatever their probability (lines {shown})"
        )


def answer_json(example: Example, answer: Prediction) -> dict[str, Any]:
    """What `--json` says of a text."""
    told: dict[str, Any] = {
        "line": example.line,
        "text": example.text,
        "labels": answer.labels,
        "chances": [round(p, 6) for p in answer.chances],
        "unknown_share": None if answer.unknown is None else round(answer.unknown, 4),
    }
    if answer.probabilities is not None:
        told["label_probabilities"] = {label: round(p, 6) for label, p in answer.probabilities.items()}
    return told


class Writer:
    """Writes answers in the format of their texts.

    csv, tsv: columns more: predicted, probability, and p(LABEL) for all labels where asked for
    jsonl:    keys more: "predicted", "probability", "unknown_share" (of its tokens), "probabilities"
    others:   label TAB probability, and LABEL=probability for all labels where asked for; one line a text
    """

    def __init__(self, examples: Examples, labels: list[str], every: bool, separator: str) -> None:
        self.format, self.several = examples.how["format"], bool(examples.how.get("several"))
        self.labels, self.every, self.separator = labels, every, separator

    def header(self, lines: list[str]) -> str:
        """The row of names, with those of the new columns."""
        names = ["predicted", "probability", *(f"p({label})" for label in self.labels if self.every)]
        return "\n".join(lines) + "".join(self._cells(names)) + "\n"

    def line(self, example: Example, answer: Prediction) -> str:
        """The example's lines with the answer."""
        if self.format == "jsonl":
            return self._json(example, answer)
        cells = [self.separator.join(answer.labels), self.separator.join(f"{p:.4f}" for p in answer.chances)]
        every = [] if answer.probabilities is None else list(answer.probabilities.items())
        if self.format in ("csv", "tsv"):
            cells += [f"{p:.4f}" for _, p in every]
            return example.source.text().removesuffix("\n") + "".join(self._cells(cells)) + "\n"
        return "\t".join([*cells, *(f"{label}={p:.4f}" for label, p in every)]) + "\n"

    def _cells(self, cells: list[str]) -> Iterator[str]:
        for cell in cells:
            if self.format == "tsv":
                yield "\t" + cell
            elif any(c in cell for c in ',"\n\r'):
                yield ',"' + cell.replace('"', '""') + '"'
            else:
                yield "," + cell

    def _json(self, example: Example, answer: Prediction) -> str:
        from elman.text.jsonl import set_key

        chances = [round(p, 6) for p in answer.chances]
        line = set_key(example.source.lines[-1], "predicted", answer.labels if self.several else answer.labels[0])
        line = set_key(line, "probability", chances if self.several else chances[0])
        if answer.unknown is not None:
            line = set_key(line, "unknown_share", round(answer.unknown, 4))
        if answer.probabilities is not None:
            rounded = {label: round(p, 6) for label, p in answer.probabilities.items()}
            line = set_key(line, "probabilities", rounded)
        return line + "\n"


def encode_file(
    folder: Path,
    file: str,
    format_name: str | None,
    encoding: str | None,
    texts: dict[str, Any],
    output: str,
    threads: int | None,
    allow_code: bool,
) -> tuple[int, int]:
    """The work of `elman encode`: how many texts, and the size of their vectors."""
    import io

    import numpy as np

    from elman.cli.models import load_model
    from elman.training import atomic

    examples = unlabelled(folder, file, format_name, encoding, texts)
    model = load_model(folder, "classify", allow_code=allow_code)
    if not hasattr(model, "encode"):
        raise UsageError(f"{folder}: expected a network, which makes vectors of texts; found the model {model.kind}")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    vectors = model.encode(list(examples))
    written = io.BytesIO()
    np.save(written, vectors, allow_pickle=False)
    atomic.replace_file(Path(output), written.getvalue())
    return vectors.shape
