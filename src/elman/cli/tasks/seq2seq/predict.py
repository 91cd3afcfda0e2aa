"""`elman predict` with a model of sequence to sequence: every source gets its answers, in the format it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.output import json_line, note
from elman.cli.tasks.base import Answers
from elman.cli.tasks.seq2seq.reading import how_to_read
from elman.cli.tasks.seq2seq.searching import SEARCH, join_ensemble
from elman.text.pairs import Pairs, iter_pairs
from elman.text.tables import more_cells

if TYPE_CHECKING:
    from elman.tasks.seq2seq.answers import Answer
    from elman.text.pair import Pair


class Written(Answers):
    """Sources get answers."""

    budget = 4_000  # characters
    SHOWN = 5  # lines that are listed

    def __init__(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        how = how_to_read(file, given, config, answered=False)
        self.format = str(how["format"])
        self.pairs = iter_pairs(file, allow_empty=True, **how)
        self.file = "standard input" if file == "-" else file
        self.given, self.as_json, self.sure = given, given["as_json"], given["probabilities"]
        self.search = {key: given[key] for key in SEARCH} | {"nbest": given["nbest"] or 1}
        self.writer: Writer | None = None
        self.cut: list[int] = []

    def items(self) -> Iterator[Pair]:
        """The sources."""
        return iter(self.pairs)

    def size(self, item: Pair) -> int:
        """Its number of characters, times the beam."""
        return (len(item.source) + 1) * (self.search["beam"] or 1)

    def answer(self, model: Any, batch: list[Pair]) -> Iterator[str]:
        """The sources with their answers, below the header row of a table."""
        if self.writer is None:
            join_ensemble(model, self.given)
        answers = model.predict(batch, **self.search)
        if self.writer is None:
            self.writer = Writer(self.pairs, self.search["nbest"], self.sure)
            if self.pairs.header_lines and not self.as_json:
                yield self.writer.header(self.pairs.header_lines)
        for pair, answer in zip(batch, answers, strict=True):
            best = answer.answers
            yield json_line(answer_json(pair, best)) if self.as_json else self.writer.lines(pair, best)
            if not best[0].complete:
                self.cut.append(pair.line)

    def finish(self) -> None:
        """Report the answers that were cut off."""
        if self.cut:
            shown = ", ".join(map(str, self.cut[: self.SHOWN])) + (", ..." if len(self.cut) > self.SHOWN else "")
            answers = f"{len(self.cut):,} answers" if len(self.cut) > 1 else "1 answer"
            note(f"elman: {self.file}: {answers} cut off at the maximum length (lines {shown})")


def answer_json(pair: Pair, best: list[Answer]) -> dict[str, Any]:
    """What `--json` prints for a source."""
    answers = [
        {
            "text": one.text,
            "log_probability": round(one.log_probability, 6),
            "score": round(one.score, 6),
            "complete": one.complete,
            "symbols": one.symbols,
            "alignment": one.alignment,
        }
        for one in best
    ]
    return {"line": pair.line, "source": pair.source, "features": list(pair.features), "answers": answers}


class Writer:
    """Writes answers in the format of their sources.

    csv, tsv: more columns: predicted (or predicted_1 ... predicted_N), and with `sure` log_probability
    jsonl:    more keys: "predicted", and with `sure` "log_probability"; lists with more than one answer asked for
    others:   one line per answer, with `sure` TAB log-probability; if more than one was asked for, an empty line
              follows the answers of a source
    """

    def __init__(self, pairs: Pairs, nbest: int, sure: bool) -> None:
        self.format, self.nbest, self.sure = pairs.how["format"], nbest, sure

    def header(self, lines: list[str]) -> str:
        """The header row, with the names of the new columns."""
        names = [f"_{k}" for k in range(1, self.nbest + 1)] if self.nbest > 1 else [""]
        columns = [cell for k in names for cell in (f"predicted{k}", *([f"log_probability{k}"] if self.sure else []))]
        return "\n".join(lines) + more_cells(self.format, columns) + "\n"

    def lines(self, pair: Pair, best: list[Answer]) -> str:
        """The source's lines with the answers."""
        if self.format == "jsonl":
            return self._json(pair, best)
        rows = [[one.text, *([f"{one.log_probability:.4f}"] if self.sure else [])] for one in best]
        if self.format in ("csv", "tsv"):
            cells = [cell for row in rows for cell in row]
            cells += [""] * (self.nbest * (1 + self.sure) - len(cells))
            return str(pair.block.text().removesuffix("\n")) + more_cells(self.format, cells) + "\n"
        return "".join("\t".join(row) + "\n" for row in rows) + ("\n" if self.nbest > 1 else "")

    def _json(self, pair: Pair, best: list[Answer]) -> str:
        from elman.text.jsonl import set_key

        texts = [one.text for one in best]
        line = set_key(pair.block.lines[-1], "predicted", texts if self.nbest > 1 else texts[0])
        if self.sure:
            logs = [round(one.log_probability, 6) for one in best]
            line = set_key(line, "log_probability", logs if self.nbest > 1 else logs[0])
        return line + "\n"
