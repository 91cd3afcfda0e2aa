"""The feed-forward tagger over a window of words: what came before recurrent ones, and what they have to beat.

Collobert, Weston, Bottou, Karlen, Kavukcuoglu and Kuksa 2011, Natural language processing (almost) from scratch.
Nothing in it is recurrent: of a word's spelling it sees the characters at both ends, instead of the paper's suffixes
and capitals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from elman.layers.characters import LONGEST, Spellings
from elman.layers.decoding import Constraint
from elman.layers.embedding import RareEmbedding
from elman.layers.plan import Ends
from elman.recurrent import Dropout, Layer, Packed, Stack, Window
from elman.recurrent.plan import Part, affine, array
from elman.tasks.tagging.config import WindowConfig
from elman.tasks.tagging.data import Vocabularies
from elman.tasks.tagging.modules import TaggerNetwork
from elman.tasks.tagging.network_model import NetworkTagger


class Affixes(nn.Module):
    """(tokens, 2 * length * size): the vectors of each word's first characters, then of its last ones, from the ends
    inwards; zeros where a word is shorter."""

    def __init__(self, counts: list[int], size: int, length: int, unknown: float) -> None:
        super().__init__()
        self.embedding = RareEmbedding(counts, size, unknown)
        self.length, self.output_size = length, 2 * length * size

    def forward(self, spellings: Spellings) -> Tensor:
        ids = spellings.characters
        rows = self.embedding(ids.data)
        table = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
        place = torch.arange(self.length).unsqueeze(0)  # from either end
        lengths = torch.tensor(ids.lengths).unsqueeze(1)
        word = torch.arange(ids.sequences).unsqueeze(1)
        offsets = torch.cat([ids.offsets, ids.offsets.new_zeros(1)])  # for words without characters

        def pick(position: Tensor) -> Tensor:
            inside = offsets[position.clamp(0, len(offsets) - 1)] + word
            return torch.where(place < lengths, inside, len(rows))

        both = torch.cat([pick(place.expand(ids.sequences, -1)), pick(lengths - 1 - place)], 1)
        return table[both].flatten(1)[spellings.word]

    def plan(self, characters: Sequence[str]) -> Ends:
        """characters: those of the vocabulary, in the order of their ids."""
        assert self.embedding.embedding is not None
        return Ends(tuple(characters), array(self.embedding.embedding.weight), LONGEST, self.length)


class Hidden(Layer):
    """tanh(W x + b) at every step independently."""

    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, output_size
        self.linear = nn.Linear(input_size, output_size)

    def run(self, xs: Packed, state: Any) -> tuple[Packed, Any]:
        return xs.with_data(torch.tanh(self.linear(xs.data))), state

    def plan(self) -> tuple[Part, ...]:
        return (affine(self.linear, "tanh"),)


class WindowNetwork(TaggerNetwork):
    """words | vectors | affixes -> dropout -> window -> hidden layer -> dropout."""

    def __init__(
        self,
        config: WindowConfig,
        vocabularies: Vocabularies,
        vectors: Tensor | None,
        constraint: Constraint | None,
    ) -> None:
        super().__init__(config, vocabularies, vectors, constraint)
        self.characters = None
        if config.affix_size:
            self.characters = Affixes(vocabularies.character_counts, config.affix_size, config.affix, config.unknown)
        window = Window(self.width, before=config.context, after=config.context)
        hidden = Hidden(window.output_size, config.hidden_size)
        self._finish(Stack(Dropout(config.dropout), window, hidden, Dropout(config.dropout)))


class WindowTagger(NetworkTagger):
    """A tag for every word, by a feed-forward network over the word and its neighbours.

    Settings are those of `WindowConfig` and `TrainingConfig`."""

    kind = "window"
    config = WindowConfig

    def _make(self, vectors: Tensor | None, legal: Constraint | None, stored: bool) -> TaggerNetwork:
        return WindowNetwork(self.settings.model, self.vocabularies, vectors, legal)

    def describe(self) -> list[str]:
        model = self.settings.model
        return self._describe_network(
            f"a feed-forward network over {model.context} words on either side, {model.hidden_size} hidden units"
        )
