"""A sentence with its predicted tags, and what else was asked for, in the format in which it came."""

from __future__ import annotations

import json
from typing import Any, Protocol

from elman.text import Sentence
from elman.text.conllu import set_key as set_conllu_key
from elman.text.formats import Format
from elman.text.jsonl import set_key as set_json_key


class Answer(Protocol):
    """What a tagger says of a sentence; see `elman.tasks.tagging.tagger.Prediction`."""

    @property
    def tags(self) -> list[str]: ...
    @property
    def probabilities(self) -> list[float] | None: ...
    @property
    def nbest(self) -> list[tuple[list[str], float]] | None: ...


def write(format: Format, sentence: Sentence, answer: Answer) -> str:
    """The sentence's text with the tags in their column, and with the probabilities: a key of JSON lines, `Prob=` in
    CoNLL-U's MISC, one more column elsewhere."""
    text = format.write(sentence, answer.tags)
    if format.name == "jsonl":
        return _json(text, answer) if sentence.source.lines[-1].strip() else text
    if answer.probabilities is None or not sentence.words:
        return text
    lines = text.split("\n")
    for at, probability in zip(_places(format, sentence, lines), answer.probabilities, strict=True):
        if format.name == "conllu":
            fields = lines[at].split("\t")
            fields[9] = set_conllu_key(fields[9], "Prob", f"{probability:.4f}", False)
            lines[at] = "\t".join(fields)
        else:
            lines[at] += ("\t" if "\t" in lines[at] else " ") + f"{probability:.4f}"
    return "\n".join(lines)


def answer_json(sentence: Sentence, answer: Answer) -> dict[str, Any]:
    """What `--json` says of a sentence."""
    told: dict[str, Any] = {"line": sentence.line, "words": sentence.words, "tags": answer.tags}
    if answer.probabilities is not None:
        told["probabilities"] = [round(p, 6) for p in answer.probabilities]
    if answer.nbest is not None:
        told["nbest"] = [{"tags": tags, "probability": round(p, 6)} for tags, p in answer.nbest]
    return told


def as_line(value: dict[str, Any]) -> str:
    """One JSON object a line, as `emit_json` has it, for an output that may be a file."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _places(format: Format, sentence: Sentence, lines: list[str]) -> list[int]:
    """At which index of the written lines each word stands."""
    if format.name == "text":  # written afresh, one word a line
        return [at for at, line in enumerate(lines) if line]
    return [number - sentence.source.first for number in sentence.lines]


def _json(text: str, answer: Answer) -> str:
    before, end, line = text.rstrip("\n").rpartition("\n")
    if answer.probabilities is not None:
        line = set_json_key(line, "probabilities", [round(p, 6) for p in answer.probabilities])
    if answer.nbest is not None:
        ways = [{"tags": tags, "probability": round(p, 6)} for tags, p in answer.nbest]
        line = set_json_key(line, "nbest", ways)
    return before + end + line + "\n"
