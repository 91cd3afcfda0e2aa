"""`elman predict` with a classifier: every text gets its label, in the format it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from elman.cli.output import json_line, note
from elman.cli.tasks.base import Answers
from elman.cli.tasks.classify.reading import how_to_read
from elman.text.labelled import Examples, iter_examples
from elman.text.tables import more_cells

if TYPE_CHECKING:
    from elman.cli.stream import Arrived
    from elman.tasks.classification.answers import LabelPrediction
    from elman.text.example import Example


class Labels(Answers):
    """Texts get labels."""

    budget = 20_000  # characters
    streams = ("text",)

    def __init__(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        how = how_to_read(file, given, config, labelled=False)
        self.format = str(how["format"])
        self.examples = iter_examples(file, allow_empty=True, **how)
        self.as_json, self.probabilities = given["as_json"], given["probabilities"]
        self.separator = given["separator"] or "|"
        self.guesses = Guesses(file)
        self.writer: Writer | None = None

    def items(self) -> Iterator[Example]:
        """The texts."""
        return iter(self.examples)

    def size(self, item: Example) -> int:
        """Its number of characters."""
        return len(item.text) + 1

    def answer(self, model: Any, batch: list[Example]) -> Iterator[str]:
        """The texts with their labels, below the header row of a table."""
        answers = model.predict(batch, probabilities=self.probabilities)
        if self.writer is None:
            self.writer = Writer(self.examples, model.labels, self.probabilities, self.separator)
            if self.examples.header_lines and not self.as_json:
                yield self.writer.header(self.examples.header_lines)
        for example, answer in zip(batch, answers, strict=True):
            yield (
                json_line(answer_json(example.line, example.text, answer))
                if self.as_json
                else self.writer.line(example, answer)
            )
            self.guesses.look_at(example, answer)

    def stream(self, model: Any, arrivals: Iterator[list[Arrived]]) -> Iterator[str]:
        """Words with the label so far and its probability, one per line; an empty line at the end of a text."""
        session = model.session()
        for arrived in arrivals:
            texts = []
            for line, word in arrived:
                if word is None:
                    session.finish()
                    texts.append("" if self.as_json else "\n")
                    continue
                answer = session.push(word)
                if self.as_json:
                    texts.append(json_line(answer_json(line, word, replace(answer, probabilities=None))))
                else:
                    labels = self.separator.join(answer.labels)
                    texts.append(f"{word}\t{labels}\t{self.separator.join(f'{p:.4f}' for p in answer.chances)}\n")
            if text := "".join(texts):
                yield text

    def finish(self) -> None:
        """Report the texts whose labels are guesses."""
        self.guesses.report()


class Guesses:
    """Counts the texts of which the model knows next to nothing, and reports them at the end."""

    MOST, SHOWN = 0.9, 5  # share of unknown tokens; lines that are listed

    def __init__(self, file: str) -> None:
        self.file = "standard input" if file == "-" else file
        self.lines: list[int] = []

    def look_at(self, example: Example, answer: LabelPrediction) -> None:
        if answer.unknown is not None and answer.unknown >= self.MOST:
            self.lines.append(example.line)

    def report(self) -> None:
        if not self.lines:
            return
        shown = ", ".join(map(str, self.lines[: self.SHOWN])) + (", ..." if len(self.lines) > self.SHOWN else "")
        texts = f"{len(self.lines):,} texts" if len(self.lines) > 1 else "1 text"
        note(
            f"elman: {self.file}: in {texts} the model knows at most a tenth of the words, so the labels are guesses "
            f"whatever their probability (lines {shown})"
        )


def answer_json(line: int, text: str, answer: LabelPrediction) -> dict[str, Any]:
    """What `--json` prints for a text."""
    values: dict[str, Any] = {
        "line": line,
        "text": text,
        "labels": answer.labels,
        "chances": [round(p, 6) for p in answer.chances],
        "unknown_share": None if answer.unknown is None else round(answer.unknown, 4),
    }
    if answer.probabilities is not None:
        values["label_probabilities"] = {label: round(p, 6) for label, p in answer.probabilities.items()}
    return values


class Writer:
    """Writes answers in the format of their texts.

    csv, tsv: more columns: predicted, probability, and p(LABEL) for all labels if asked for
    jsonl:    more keys: "predicted", "probability", "unknown_share" (of its tokens), "probabilities"
    others:   label TAB probability, and LABEL=probability for all labels if asked for; one line per text
    """

    def __init__(self, examples: Examples, labels: list[str], every: bool, separator: str) -> None:
        self.format, self.several = examples.how["format"], bool(examples.how.get("several"))
        self.labels, self.every, self.separator = labels, every, separator

    def header(self, lines: list[str]) -> str:
        """The header row, with the names of the new columns."""
        names = ["predicted", "probability", *(f"p({label})" for label in self.labels if self.every)]
        return "\n".join(lines) + more_cells(self.format, names) + "\n"

    def line(self, example: Example, answer: LabelPrediction) -> str:
        """The example's lines with the answer."""
        if self.format == "jsonl":
            return self._json(example, answer)
        cells = [self.separator.join(answer.labels), self.separator.join(f"{p:.4f}" for p in answer.chances)]
        every = [] if answer.probabilities is None else list(answer.probabilities.items())
        if self.format in ("csv", "tsv"):
            cells += [f"{p:.4f}" for _, p in every]
            return example.source.text().removesuffix("\n") + more_cells(self.format, cells) + "\n"
        return "\t".join([*cells, *(f"{label}={p:.4f}" for label, p in every)]) + "\n"

    def _json(self, example: Example, answer: LabelPrediction) -> str:
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
