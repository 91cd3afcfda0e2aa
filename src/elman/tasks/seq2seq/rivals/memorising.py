"""The baseline that remembers its training data, and copies all else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from elman.errors import ModelError
from elman.tasks import storage
from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.config import MemoryConfig
from elman.tasks.seq2seq.rivals.counted import CountedTransducer, strings


class Memorising(CountedTransducer):
    """The most frequent target of a source with its features; of equally frequent ones the first seen. A source that
    was never seen is copied. The probability of a target is its share among those of the source."""

    kind = "memory"
    config = MemoryConfig

    def _learn(self, examples: list[tuple[Source, str]]) -> None:
        self._seen: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
        for source, target in examples:
            self._seen.setdefault((source.text, source.features), Counter())[target] += 1

    def _how(self) -> str:
        return "the most frequent target of a source that was seen in training; any other is copied"

    def _transduce(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        return [self._remembered(source, search.nbest) for source in sources]

    def _remembered(self, source: Source, nbest: int) -> list[Answer]:
        seen = self._seen.get((source.text, source.features))
        if seen is None:
            return [self._copied(source)]
        total = seen.total()
        return [self._answer(target, math.log(count / total)) for target, count in seen.most_common(nbest)]

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        rows = [[text, features, list(seen.items())] for (text, features), seen in self._seen.items()]
        storage.write_json(path / "memory.json", rows, indent=False)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        file = path / "memory.json"
        rows = storage.read_json(file)
        problem = ModelError(f"{file}: expected sources, features and counted targets, found something else")
        if not isinstance(rows, list) or not rows:
            raise problem
        self._seen = {}
        for row in rows:
            match row:
                case [str() as text, [*features], [_, *_] as targets] if strings(features) and all(
                    isinstance(one, list) and len(one) == 2 and _counted(*one) for one in targets
                ):
                    self._seen[text, tuple(features)] = Counter(dict(map(tuple, targets)))
                case _:
                    raise problem


def _counted(target: object, count: object) -> bool:
    return isinstance(target, str) and isinstance(count, int) and count > 0
