"""What the rivals that are estimated in one go share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from elman.errors import UsageError
from elman.tasks import storage
from elman.tasks.model import CountedModel
from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.base import Prepared, Seq2SeqModel
from elman.text.pair import Pair

Pairs = Iterable[Pair]


class CountedTransducer(Seq2SeqModel, CountedModel[Pairs]):
    """A model of sequence to sequence that is estimated in one go. A pair with several targets counts once for each.

    It answers as it was estimated: `nbest` is all that it takes of the settings of the search, and `beam` if it
    searches."""

    # What a subclass defines

    def _learn(self, examples: list[tuple[Source, str]]) -> None:
        """Estimate from sources and their targets, in the order of the data."""
        raise NotImplementedError

    def _transduce(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        """The answers, as `_answers`; the model is estimated, and no setting asks for what it cannot do."""
        raise NotImplementedError

    # The same for all

    def _prepare(self, train: Pairs, dev: Pairs | float | None, test: Pairs | None) -> tuple[Prepared, dict[str, Any]]:
        data = self._parts(train, dev, test, seed=1)
        return data, {"dev": data.dev, "test": data.test}

    def _estimate(self, data: Prepared) -> None:
        self._learn([(self.source(pair), target) for pair in data.train for target in pair.targets or ()])

    def _answers(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        if search.temperature or search.min_length or search.max_length is not None:
            raise UsageError(
                f"a model of kind {self.kind} has no temperature, min_length or max_length; leave them out, "
                "or use a network"
            )
        return self._transduce(sources, search)

    def _answer(self, text: str, log_probability: float = 0.0) -> Answer:
        return Answer(text, self.target_tokenizer.split(text), log_probability, log_probability)

    def _copied(self, source: Source) -> Answer:
        """The source's text. Places count the features too, as in `Source.read`."""
        symbols = self.target_tokenizer.split(source.text)
        first = len(source.features)
        alignment = [first + place for place in range(len(symbols))] if symbols == source.symbols else None
        return Answer(source.text, symbols, 0.0, 0.0, alignment=alignment)

    def _weights(self) -> Mapping[str, Tensor]:
        return {}

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        storage.read_tensors(path / "model.safetensors")  # whatever is in it, the file belongs to the folder


def strings(values: Iterable[object]) -> bool:
    """Whether all of them are; for what was read from JSON."""
    return all(isinstance(value, str) for value in values)
