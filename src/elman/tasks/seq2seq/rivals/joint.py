"""The joint n-gram transducer: the rival in pronunciation, transliteration and the like.

Bisani and Ney 2008, Joint-sequence models for grapheme-to-phoneme conversion; in the form of Novak, Minematsu and
Hirose 2012 (Phonetisaurus): chunks are aligned once, by a model of order one, then an n-gram model is estimated over
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from elman.errors import ModelError
from elman.tasks import storage
from elman.tasks.language_model.rivals.ngram import NGram
from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.config import JointConfig
from elman.tasks.seq2seq.rivals.alignment import Aligner, Chunk, steps
from elman.tasks.seq2seq.rivals.counted import CountedTransducer, strings
from elman.tasks.seq2seq.rivals.search import ChunkModel, Reading, search


class JointNgram(CountedTransducer):
    """p(source, target) = sum over the ways to cut both into chunks of prod p(chunk | the chunks before).

    Training: EM aligns sources and targets (see `alignment`), and the best alignment of each pair is a sentence of
    chunks; symbols of the target that belong to none of the source join the chunk before, at the beginning the one
    after. Over these sentences an n-gram model is estimated, modified interpolated Kneser-Ney. Answers are searched for
    among all chunks that spell the source (see `search`). Features are symbols in front of the source.

    The log-probability of an answer is that of source and target together, and answers are ranked by it; there is no
    length penalty. `beam` widens the search beyond the setting `joint_beam`."""

    kind = "joint"
    config = JointConfig

    def _learn(self, examples: list[tuple[Source, str]]) -> None:
        model = self.settings.model
        cut = self.target_tokenizer.split
        aligner = Aligner(
            [source.read() for source, _ in examples], [cut(target) for _, target in examples], steps(model.chunk)
        )
        aligner.train(model.iterations)
        index: dict[Chunk, int] = {}
        sentences = [[str(index.setdefault(chunk, len(index))) for chunk in joined(way)] for way in aligner.best()]
        self._ngram = NGram.fit(sentences, model.order)
        self._chunks = ChunkModel(self._ngram, list(index), cut)

    def _how(self) -> str:
        return (
            f"a joint n-gram transducer of order {self._ngram.order} over {len(self._chunks.chunks):,} chunks of up to "
            f"{self.settings.model.chunk} symbols"
        )

    def _transduce(self, sources: Sequence[Source], options: SearchSettings) -> list[list[Answer]]:
        beam = max(self.settings.model.joint_beam, options.beam or 1)
        readings = [Reading(tuple(source.read()), len(source.features)) for source in sources]
        different = list(dict.fromkeys(readings))  # in running text most words come again
        found = dict(zip(different, search(self._chunks, different, beam, options.nbest, summed=True), strict=True))
        return [[self._written(*spelling) for spelling in found[reading]] for reading in readings]

    def _written(self, log_probability: float, chunks: Sequence[Chunk]) -> Answer:
        symbols: list[str] = []
        alignment: list[int] = []
        place = 0
        for before, after in chunks:
            symbols += after
            alignment += [place] * len(after)
            place += len(before)
        text = self.target_tokenizer.join(symbols)
        return Answer(text, symbols, log_probability, log_probability, alignment=alignment)

    def _weights(self) -> Mapping[str, Tensor]:
        tensors, _ = self._ngram.to_tensors()
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        _, config = self._ngram.to_tensors()
        storage.write_json(path / "chunks.json", {"chunks": self._chunks.chunks, "ngram": config}, indent=False)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        file = path / "chunks.json"
        match storage.read_json(file):
            case {"chunks": [*rows], "ngram": {**config}} if all(_sides(row) for row in rows):
                chunks = [(tuple(before), tuple(after)) for before, after in rows]
            case _:
                raise ModelError(f"{file}: expected chunks and an n-gram model's words, found something else")
        tensors = {name: value.numpy() for name, value in storage.read_tensors(path / "model.safetensors").items()}
        try:
            self._ngram = NGram.from_tensors(tensors, cast(dict[str, Any], config))
        except ModelError as problem:
            raise ModelError(f"{path}: {problem}") from problem
        if set(map(str, range(len(chunks)))) - set(self._ngram.vocabulary):
            raise ModelError(f"{path}: expected every chunk in the n-gram model, found others; restore the files")
        self._chunks = ChunkModel(self._ngram, chunks, self.target_tokenizer.split)


def joined(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Without chunks that read nothing: they join the one before, at the beginning the one after."""
    result: list[Chunk] = []
    for before, after in chunks:
        if result and not (before and result[-1][0]):
            last_before, last_after = result.pop()
            before, after = last_before + before, last_after + after
        result.append((before, after))
    return result


def _sides(row: object) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(side, list) and strings(side) for side in row)
