"""Small trained models of every task with recurrent layers, for the tests of this folder."""

from __future__ import annotations

import warnings
from functools import cache

import torch

import elman
from elman.tasks.seq2seq.network_model import Seq2Seq
from elman.text.grammar import make
from elman.text.pair import Pair

SENTENCES = 60


@cache
def sentences() -> list[elman.Sentence]:
    """Sentences of the embedded grammar, with the tags of their words."""
    found = []
    for block in make(SENTENCES, seed=4, max_distance=5):
        rows = [line.split("\t") for line in block.splitlines() if line and not line.startswith("#")]
        found.append(elman.Sentence([row[1] for row in rows], [row[4] for row in rows]))
    return found


TRAINING = {"epochs": 2, "threads": 1, "batch_tokens": 200}
SMALL = {"hidden_size": 6, "word_size": 5, **TRAINING}


def _tagger(**settings):
    return elman.Tagger(**{**SMALL, "char_size": 4, "char_hidden_size": 3, **settings}), sentences()


def _chunks(**settings):
    tags = [["B-X" if tag.startswith("N") else "O" for tag in s.tags] for s in sentences()]
    data = [elman.Sentence(s.words, t) for s, t in zip(sentences(), tags, strict=True)]
    return elman.Tagger(**{**SMALL, "char_size": 0, "crf": True, **settings}), data


def _classifier(**settings):
    data = [elman.Example(" ".join(s.words), ["NNS" if "NNS" in s.tags else "other"]) for s in sentences()]
    return elman.Classifier(**{**SMALL, **settings}), data


def _several(**settings):
    data = [elman.Example(" ".join(s.words), sorted({t for t in s.tags if t.startswith("V")})) for s in sentences()]
    return elman.Classifier(**{**SMALL, "several": True, **settings}), data


def _language_model(**settings):
    data = [" ".join(s.words) for s in sentences()]
    given = {"hidden_size": 6, "embedding_size": 5, "layers": 2, "bptt": 6, "batch_size": 3, "minimum": 1}
    return elman.LanguageModel(**{**given, "epochs": 2, "threads": 1, **settings}), data


def _seq2seq(**settings):
    data = [Pair(" ".join(s.words), [" ".join(word[-2:] for word in reversed(s.words))]) for s in sentences()]
    given = {"source_tokenizer": "space", "target_tokenizer": "space", "hidden_size": 6, "embedding_size": 5}
    return Seq2Seq(**{**given, **TRAINING, **settings}), data


MAKERS = {
    "tagger": lambda: _tagger(layers=2),
    "tagger, one way, GRU, no characters": lambda: _tagger(cell="gru", one_way=True, char_size=0),
    "tagger with a window": lambda: _tagger(window_before=1, window_after=1),
    "CRF": lambda: _chunks(),
    **{f"classifier, {how}": lambda how=how: _classifier(pooling=how) for how in ("final", "max", "mean", "attention")},
    "classifier, deep output, head": lambda: _classifier(cell="deep-transition", pooling="final", head_size=4),
    "classifier, several": lambda: _several(),
    "language model, tied": lambda: _language_model(),
    "language model, not tied, by lines": lambda: _language_model(tied=False, lines=True),
    "sequence to sequence": lambda: _seq2seq(layers=2, copy=True),
    "sequence to sequence, fed, GRU": lambda: _seq2seq(attention="additive", cell="gru", one_way=True),
    "sequence to sequence, hard, monotonic": lambda: _seq2seq(attention="hard", monotonic=True),
}


@cache
def model(name: str):
    """The model of this name, trained for a moment."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)  # whatever the test that is the first to ask has chosen
    try:
        untrained, data = MAKERS[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return untrained.fit(data)
    finally:
        torch.set_default_dtype(before)
