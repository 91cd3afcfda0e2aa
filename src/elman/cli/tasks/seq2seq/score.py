"""`elman score` with a model of sequence to sequence: how likely each target is, given its source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.output import note
from elman.cli.tasks.base import Answers
from elman.cli.tasks.likelihood import likelihood
from elman.cli.tasks.seq2seq.reading import how_to_read
from elman.errors import UsageError
from elman.text.pairs import iter_pairs

if TYPE_CHECKING:
    from elman.text.pair import Pair


class Likelihoods(Answers):
    """Pairs get their log-probabilities, one for each right target."""

    budget = 4000  # characters

    def __init__(self, file: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        how = how_to_read(file, given, config, answered=True)
        self.format = str(how["format"])
        self.pairs = iter_pairs(file, allow_empty=True, **how)
        self.given = given
        self.symbols, self.log_probability = 0, 0.0

    def items(self) -> Iterator[Pair]:
        """Each pair with one target."""
        from elman.text.pair import Pair

        for pair in self.pairs:
            for target in pair.targets or ():
                yield Pair(pair.source, [target], pair.features, pair.file, pair.line)

    def size(self, item: Pair) -> int:
        """Its characters."""
        return len(item.source) + len((item.targets or [""])[0]) + 2

    def answer(self, model: Any, batch: list[Pair]) -> Iterator[str]:
        """Each pair with its score."""
        if not hasattr(model, "log_probabilities"):
            raise UsageError(f"expected a model that says how likely a target is, found the model {model.kind}")
        logs = model.log_probabilities(batch).tolist()
        at = 0
        for pair in batch:
            target = (pair.targets or [""])[0]
            symbols = [*model.target_tokenizer.split(target), "</s>"]
            own, at = logs[at : at + len(symbols)], at + len(symbols)
            self.symbols, self.log_probability = self.symbols + len(own), self.log_probability + sum(own)
            record = {"line": pair.line, "source": pair.source, "features": list(pair.features), "target": target}
            shown = f"{pair.source}\t{target}"
            yield likelihood(shown, record, symbols, own, self.given["tokens"], self.given["as_json"])

    def finish(self) -> None:
        """Perplexity per symbol."""
        if self.symbols:
            perplexity = math.exp(min(-self.log_probability / self.symbols, 700.0))
            note(f"perplexity {perplexity:.2f} per symbol, {self.symbols:,} symbols with ends")
