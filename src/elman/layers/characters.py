"""A word's vector from its characters: a recurrent encoder in both directions over the spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elman.layers.embedding import RareEmbedding
from elman.layers.plan import Spelled
from elman.recurrent import Bidirectional, Cell, Packed
from elman.recurrent.plan import Recurrence, array

LONGEST = 64
"""Words with more characters are read by their first and last 32: what is between says little about the word."""


def spelling(ids: list[int]) -> list[int]:
    """The characters of a word that the encoder reads: all, or the first and last half of LONGEST."""
    return ids if len(ids) <= LONGEST else ids[: LONGEST // 2] + ids[-LONGEST // 2 :]


@dataclass(frozen=True)
class Spellings:
    """The distinct words of a batch as characters, and where each token finds its word.

    characters: Packed of (rows,) character ids, one sequence per distinct word
    word:       (tokens,) the index of each token's word, in the packed order of `characters`
    """

    characters: Packed
    word: Tensor

    @classmethod
    def of(cls, spellings: Sequence[list[int]], word: Tensor) -> Spellings:
        """From one list of character ids per distinct word, and (tokens,) indices into that list."""
        plan = Packed.plan([len(ids) for ids in spellings])
        flat = torch.tensor([i for ids in spellings for i in ids], dtype=torch.long)
        position = torch.argsort(plan.order)
        return cls(plan.with_data(flat[plan.data]), position[word])

    def some(self, tokens: Tensor) -> Spellings:
        """Those of some of the tokens, given by (n,) indices, in that order."""
        chosen, word = self.word[tokens].unique(return_inverse=True)
        starts, lengths = self.characters.offsets, self.characters.lengths
        rows = [starts[: lengths[i]] + i for i in chosen.tolist()]
        return Spellings.of([self.characters.data[each].tolist() for each in rows], word)


class CharacterEncoder(nn.Module):
    """(tokens, 2 * hidden_size): the final states of both directions over each word's characters.

    Each distinct word of the batch is read once (Ling et al. 2015; Plank, Søgaard and Goldberg 2016)."""

    def __init__(self, counts: list[int], size: int, hidden_size: int, cell: type[Cell], unknown: float) -> None:
        super().__init__()
        self.embedding = RareEmbedding(counts, size, unknown)
        self.layer = Bidirectional(cell(size, hidden_size), cell(size, hidden_size))
        self.output_size = self.layer.output_size

    def forward(self, spellings: Spellings) -> Tensor:
        ids = spellings.characters
        _, state = self.layer(ids.with_data(self.embedding(ids.data)))
        return self.layer.final(state)[spellings.word]

    def plan(self, characters: Sequence[str]) -> Spelled:
        """characters: those of the vocabulary, in the order of their ids."""
        (layer,) = self.layer.plan()
        assert self.embedding.embedding is not None and isinstance(layer, Recurrence)
        return Spelled(tuple(characters), array(self.embedding.embedding.weight), LONGEST, layer)
