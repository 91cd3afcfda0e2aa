"""`elman predict` with a tagger: every sentence with its tags, and what else was asked for, in its own format."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from elman.cli.output import json_line, note
from elman.cli.stream import Arrived
from elman.cli.tasks.base import Answers
from elman.cli.tasks.tag.reading import Asked, untagged
from elman.errors import DataError, UsageError, shorten
from elman.text import Sentence, iter_read
from elman.text.conllu import set_key as set_conllu_key
from elman.text.files import name_of
from elman.text.formats import Format
from elman.text.jsonl import set_key as set_json_key

_COMMENT = re.compile(r"# (sent_id|text|newdoc|newpar|global\.columns)\b")


class Tags(Answers):
    """Sentences get tags, in the format in which they come."""

    budget = 4000  # words
    streams = ("text", "columns")

    def __init__(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.file, self.how = file, untagged(file, Asked.of(given), config["reading"])
        self.format = self.how.format.name
        self.guessed = given["format"] is None
        self.as_json, self.probabilities, self.nbest = given["as_json"], given["probabilities"], given["nbest"]
        if self.nbest is not None and self.format != "jsonl" and not self.as_json:
            raise UsageError(f"--nbest needs --json or JSON lines; the format here is {self.format}")
        self.reported_long_word = False

    def items(self) -> Iterator[Sentence]:
        """The sentences. Raises UsageError if what was taken as plain text starts like something else."""
        first = self.guessed and self.format == "text"
        for sentence in iter_read(
            self.file, self.how.format, encoding=self.how.encoding, allow_empty=True, wordless=True
        ):
            if first and sentence.words:
                _require_text(sentence)
                first = False
            yield sentence

    def size(self, item: Sentence) -> int:
        """Its number of words."""
        return len(item)

    def answer(self, model: Any, batch: list[Sentence]) -> Iterator[str]:
        """The sentences with their tags."""
        for sentence in batch:
            self._report_long_word(sentence.words, sentence.lines, model.longest_word)
        answers = model.predict(batch, probabilities=self.probabilities, nbest=self.nbest or 0)
        for sentence, answer in zip(batch, answers, strict=True):
            if not self.as_json:
                yield write(self.how.format, sentence, answer)
            elif sentence.words:
                yield json_line(answer_json(sentence, answer))

    def stream(self, model: Any, arrivals: Iterator[list[Arrived]]) -> Iterator[str]:
        """Words with their tags, one per line; an empty line at the end of a sentence.

        text: a line is a sentence; columns: a line is a word, an empty line the end of a sentence"""
        session, waiting = model.session(), deque[Arrived]()

        def tagged(tags: list[str]) -> str:
            return "".join(self._tagged(waiting.popleft(), tag) for tag in tags)

        filled = False  # whether the line has a word
        for arrived in arrivals:
            texts = []
            for place in arrived:
                if place.word is None:
                    if self.format == "text" or not filled:
                        texts.append(tagged(session.finish()) + ("" if self.as_json else "\n"))
                    filled = False
                    continue
                if filled and self.format == "columns":
                    found = shorten(place.word)
                    raise DataError(
                        f"expected one word per line, found another, {found}; sentences are --format text",
                        file=name_of(Path(self.file)),
                        line=place.line,
                    )
                filled = True
                self._report_long_word([place.word], [place.line], model.longest_word)
                waiting.append(place)
                texts.append(tagged(session.push(place.word)))
            if text := "".join(texts):
                yield text
        if waiting:  # a last sentence without an empty line after it
            yield tagged(session.finish()) + ("" if self.as_json else "\n")

    def _tagged(self, place: Arrived, tag: str) -> str:
        if self.as_json:
            return json_line({"line": place.line, "words": [place.word], "tags": [tag]})
        return f"{place.word}\t{tag}\n"

    def _report_long_word(self, words: Iterable[str], lines: Iterable[int], most: int | None) -> None:
        """Report once that a word is longer than the model reads; most: None if it reads words of any length."""
        if most is None or self.reported_long_word:
            return
        for word, line in zip(words, lines, strict=True):
            if len(word) > most:
                note(
                    f"elman: {name_of(Path(self.file))}:{line}: a word of {len(word)} characters; of words longer than "
                    f"{most} only the first and last {most // 2} are read (reported once)"
                )
                self.reported_long_word = True
                return


def _require_text(sentence: Sentence) -> None:
    line = sentence.source.lines[-1]
    like = None
    if line.count("\t") == 9 or _COMMENT.match(line):
        like = "conllu"
    elif "\t" in line:
        like = "columns"
    elif line.startswith("{") and ('"words"' in line or '"text"' in line):
        like = "jsonl"
    if like is not None:
        raise UsageError(
            f"{sentence.file}:{sentence.line}: expected plain text, found what looks like {like}; give "
            f"--format {like}, or --format text if it is text"
        )


class Answer(Protocol):
    """What a tagger answers for a sentence; see `elman.tasks.tagging.network_model.Prediction`."""

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
    """What `--json` prints for a sentence."""
    values: dict[str, Any] = {"line": sentence.line, "words": sentence.words, "tags": answer.tags}
    if answer.probabilities is not None:
        values["probabilities"] = [round(p, 6) for p in answer.probabilities]
    if answer.nbest is not None:
        values["nbest"] = [{"tags": tags, "probability": round(p, 6)} for tags, p in answer.nbest]
    return values


def _places(format: Format, sentence: Sentence, lines: list[str]) -> list[int]:
    """The index of each word in the written lines."""
    if format.name == "text":  # written from scratch, one word per line
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
