"""Networks whose memory is known: shift registers, which hold the last tokens and read out the one k steps back."""

from __future__ import annotations

import random

import torch

from elman.tasks.language_model.data import END, UNKNOWN
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.tasks.language_model.network_model import LanguageModel
from elman.tasks.tagging.data import Vocabularies
from elman.tasks.tagging.network_model import Tagger
from elman.text import Sentence
from elman.text.tokenizing import get_tokenizer
from elman.text.vocabulary import Vocabulary

WORDS = ["ant", "bee", "cat", "dog", "elk"]
SMALL = 0.01  # tanh is linear here
SURE = 8.0  # the score of what is read out


def texts(count: int, length: int, seed: int = 1) -> list[list[str]]:
    source = random.Random(seed)
    return [[source.choice(WORDS) for _ in range(length)] for _ in range(count)]


def copied(text: list[str], k: int) -> list[str]:
    """The token k steps back, where there is one."""
    return [text[max(j - k, 0)] for j in range(len(text))]


def _fill(cell, places: int) -> None:
    """Block 0 is what is read, block b + 1 what was in block b a step before."""
    size = len(WORDS)
    cell.W.zero_()
    cell.U.zero_()
    cell.b.zero_()
    cell.W[:size, :size] = torch.eye(size) * SMALL
    for block in range(places - 1):
        cell.U[block * size : (block + 1) * size, (block + 1) * size : (block + 2) * size] = torch.eye(size)


def tagger(k: int, *, places: int | None = None, ahead: int | None = None) -> Tagger:
    """Tags with the word k steps back; `ahead`: an equal share of the word so many steps ahead. It holds `places`
    words, k + 1 unless that is said."""
    size, places = len(WORDS), max(k, ahead or 0) + 1 if places is None else places
    reads = {"word_size": size, "char_size": 0, "form_size": 0}
    model = Tagger(cell="elman", hidden_size=places * size, one_way=ahead is None, scheme="none", **reads)
    model._vocabularies = Vocabularies.of([Sentence(WORDS, WORDS)], None, None)
    model._network = model._make(None, None, stored=False).eval()
    network = model._network
    with torch.no_grad():
        network.words.embedding.weight.zero_()
        for i, word in enumerate(WORDS):
            network.words.embedding.weight[model.vocabularies.words[word], i] = 1
        cells = [module for module in network.layers.modules() if hasattr(module, "U")]
        for cell in cells:
            _fill(cell, places)
        network.out.weight.zero_()
        for i, word in enumerate(WORDS):
            tag = model.vocabularies.tags[word]
            network.out.weight[tag, k * size + i] = SURE / SMALL
            if ahead is not None:
                network.out.weight[tag, (places + ahead) * size + i] = SURE / SMALL
    return model


def language_model(k: int, *, bptt: int = 4) -> LanguageModel:
    """Says the token that it read k steps ago; its lines are one stream."""
    size = len(WORDS)
    model = LanguageModel(
        cell="elman", hidden_size=(k + 1) * size, layers=1, embedding_size=size, tied=False, bptt=bptt
    )
    model._vocabulary = Vocabulary([END, *WORDS], UNKNOWN)
    model._tokenizer = get_tokenizer("space")
    (cell,) = model._cells("elman")
    model._network = LanguageModelNetwork(model.settings.model, cell, len(model.vocabulary)).eval()
    network = model._network
    with torch.no_grad():
        network.embedding.zero_()
        network.writer.zero_()
        network.bias.zero_()
        for cell in (module for module in network.layers.modules() if hasattr(module, "U")):
            _fill(cell, k + 1)
        for i, word in enumerate(WORDS):
            network.embedding[model.vocabulary[word], i] = 1
            network.writer[model.vocabulary[word], k * size + i] = SURE / SMALL
    return model
