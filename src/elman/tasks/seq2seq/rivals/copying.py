"""The baseline below all others: the source, as it is."""

from __future__ import annotations

from collections.abc import Sequence

from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.config import CopyConfig
from elman.tasks.seq2seq.rivals.counted import CountedTransducer


class Copying(CountedTransducer):
    """Answers the source's text, whatever the features."""

    kind = "copy"
    config = CopyConfig

    def _learn(self, examples: list[tuple[Source, str]]) -> None:
        pass

    def _how(self) -> str:
        return "it copies the source"

    def _transduce(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        return [[self._copied(source)] for source in sources]
