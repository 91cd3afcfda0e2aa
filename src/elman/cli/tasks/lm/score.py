"""`elman score` with a language model: line by line, in one running stream or each line from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from elman.cli.output import note
from elman.cli.tasks.base import Answers
from elman.cli.tasks.likelihood import likelihood
from elman.metrics.perplexity import PerplexityScore


class Likelihoods(Answers):
    """Lines get their log-probabilities."""

    format = "text"
    budget = 2000  # characters

    def __init__(self, file: str, given: Mapping[str, Any]) -> None:
        self.file, self.given = file, given
        self.total: PerplexityScore | None = None
        self.state: Any = None

    def items(self) -> Iterator[str]:
        """The lines."""
        from elman.errors import DataError
        from elman.text.files import name_of, open_text

        with open_text(self.file, self.given["encoding"] or "utf-8") as lines:
            for number, line in lines:
                if "</s>" in line.split():
                    message = "</s> stands for the end of a line, which is added here; remove it from the text"
                    raise DataError(message, file=name_of(self.file), line=number, column=line.find("</s>") + 1)
                yield line

    def size(self, item: str) -> int:
        """Its characters."""
        return len(item)

    def answer(self, model: Any, batch: list[str]) -> Iterator[str]:
        """Each line with its score; the state goes on from batch to batch."""
        if self.total is None:
            context = "stream" if model.carries else "lines"
            self.total, self.state = PerplexityScore(model.settings.model.tokenizer, context), model.start()
        pieces = [[*model.tokenizer.split(line), model.vocabulary.items[1]] for line in batch]
        scored, self.state = model.score_batch(pieces, self.state)
        for line, one in zip(batch, scored, strict=True):
            unknown = sum(token not in model.vocabulary for token in one.tokens)
            self.total.add(one.total, len(one.tokens), 1, unknown, len(line) + 1)
            each, as_json = self.given["tokens"], self.given["as_json"]
            yield likelihood(line, {"text": line}, one.tokens, one.log_probabilities, each, as_json)

    def finish(self) -> None:
        """Perplexity and its counts."""
        result = None if self.total is None else self.total.result()
        if result is not None and result.tokens:
            note(str(result))
