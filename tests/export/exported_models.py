"""Small trained models of every kind that can be exported, one per registered cell, and texts that are hard to read."""

from __future__ import annotations

import random
import warnings
from functools import cache

import elman
from elman.recurrent import CELLS, get_cell
from elman.tasks.load import model_class
from elman.text.pair import Pair

draw = random.Random(7)
WORDS = [
    "the",
    "Cat",
    "dogs",
    "sees",
    "run",
    "北京",
    "naïve",
    "Ωmega",
    "ΣΊΣΥΦΟΣ",
    "İzmir",
    "x-1",
    "2024",
    ".",
    "👍🏽",
    "don't",
]
TEXTS = [draw.choices(WORDS, k=1 + n % 7) for n in range(40)]

# as a user gives them: one line each
HOSTILE = [
    "",
    "   ",
    "the",
    "never seen WORDS McDonald's-1984 and unwritten ones",
    "Ὀδυσσεὺς καὶ ΣΊΣΥΦΟΣ ΟΔΟΣ Σ",
    "北京 是 中国的首都 。 東京タワー",
    "👍🏽 🧑‍🚀 e\u0301t\u00e9 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "İSTANBUL ǅ ﬁ ß ẞ ŉ ꙮ \u1e9e",
    "a" * 300 + " b",
    "x" * 64 + " " + "y" * 65,
    "3.14 1,000 https://example.org/a?b=c. ada@example.org (yes) ... don’t state-of-the-art 5kg 3.5kg",
    "tab\tand\u00a0no-break \u3000wide\u2028line",
    " ".join(draw.choices(WORDS, k=2000)),
]

FITTING = [name for name in CELLS if get_cell(name).R is elman.Cell.R]
OTHERS = [name for name in CELLS if name not in FITTING]
USERS_CELL = '''
from collections import namedtuple

import torch

from elman import Cell, gate


class Leaky(Cell):
    """A user's cell: two fields, a product of gates, a comparison."""

    State = namedtuple("State", "h m")
    gates = ("f", "z", "new")
    recurrent = ("f", "new")
    vectors = ("w",)

    def step(self, s, x, r):
        f = gate("f", torch.sigmoid(x.f + r.f + self.w * s.m))
        new = gate("new", torch.where(x.z > 0, torch.sin(x.new), torch.tanh(x.new + r.new)))
        m = f * s.m + (1 - f) * new
        return self.State(h=torch.nn.functional.softplus(m) - 0.5, m=m)
'''

_TAG = {"hidden_size": 6, "word_size": 5, "char_size": 4, "char_hidden_size": 3, "form_size": 3}


def _tagged(scheme=False):
    def tag(word):
        return ("B-X" if word[0].isupper() else "O") if scheme else word[:1].upper()

    return [elman.Sentence(words, [tag(word) for word in words]) for words in TEXTS]


def _labelled(several=False):
    def labels(words):
        return sorted({w for w in words if w in WORDS[:3]}) if several else ["short" if len(words) < 4 else "long"]

    return [elman.Example(" ".join(words), labels(words)) for words in TEXTS]


def _pairs(features=False):
    return [
        Pair(" ".join(words[:2]), [" ".join(words[1::-1]).lower()], ("PL", "V") if features and len(words) % 2 else ())
        for words in TEXTS
    ]


def _lines():
    return [" ".join(words) for words in TEXTS]


# name -> (task, model, data, settings); "{cell}" is a file with the user's cell
MODELS = {
    **{f"tag, {cell}": ("tag", "network", _tagged, {**_TAG, "cell": cell}) for cell in FITTING},
    "tag, user's cell": ("tag", "network", _tagged, {**_TAG, "cell": "{cell}:Leaky", "char_cell": "{cell}:Leaky"}),
    "tag, two layers, delays": ("tag", "network", _tagged, {**_TAG, "layers": 2, "delays": 3, "cell": "gru"}),
    "tag, one way, window": (
        "tag",
        "network",
        _tagged,
        {**_TAG, "one_way": True, "window_before": 2, "char_size": 0, "form_size": 0},
    ),
    "tag, windows": ("tag", "network", _tagged, {**_TAG, "window_before": 1, "window_after": 2, "word_size": 0}),
    "tag, CRF": ("tag", "network", lambda: _tagged(True), {**_TAG, "crf": True}),
    "tag, scheme": ("tag", "network", lambda: _tagged(True), _TAG),
    "tag, window": ("tag", "window", _tagged, {"word_size": 5}),
    **{
        f"classify, {how}": ("classify", "network", _labelled, {"hidden_size": 6, "word_size": 5, "pooling": how})
        for how in ("final", "max", "mean", "attention")
    },
    "classify, several, wide": (
        "classify",
        "network",
        lambda: _labelled(True),
        {"hidden_size": 6, "word_size": 5, "several": True, "wide": 2, "head_size": 4, "form_size": 3},
    ),
    "classify, characters": (
        "classify",
        "network",
        _labelled,
        {"hidden_size": 6, "word_size": 5, "tokenizer": "characters", "lowercase": True},
    ),
    "classify, subwords": (
        "classify",
        "network",
        _labelled,
        {"hidden_size": 6, "word_size": 5, "tokenizer": "subwords", "subword_size": 300},
    ),
    "classify, cbow": ("classify", "cbow", _labelled, {"word_size": 5}),
    "classify, ngrams": ("classify", "ngrams", _labelled, {"l2": 1.0}),
    "lm, tied": ("lm", "network", _lines, {"hidden_size": 6, "embedding_size": 5, "layers": 2, "minimum": 1}),
    "lm, by lines, gru": (
        "lm",
        "network",
        _lines,
        {"hidden_size": 6, "tied": False, "lines": True, "minimum": 1, "cell": "gru"},
    ),
    "lm, characters": (
        "lm",
        "network",
        _lines,
        {"hidden_size": 6, "tokenizer": "characters", "minimum": 1, "layers": 1},
    ),
    "lm, subwords": (
        "lm",
        "network",
        _lines,
        {"hidden_size": 6, "tokenizer": "subwords", "subword_size": 300, "layers": 1},
    ),
}

_PAIRS = {"hidden_size": 6, "embedding_size": 5}
MODELS |= {
    "seq2seq, none, characters": ("seq2seq", "network", _pairs, {**_PAIRS, "attention": "none"}),
    "seq2seq, none, not tied, two layers": (
        "seq2seq",
        "network",
        _pairs,
        {**_PAIRS, "attention": "none", "tied": False, "layers": 2, "cell": "gru"},
    ),
    "seq2seq, dot, one way": ("seq2seq", "network", _pairs, {**_PAIRS, "attention": "dot", "one_way": True}),
    "seq2seq, dot, shared": ("seq2seq", "network", _pairs, {**_PAIRS, "attention": "dot", "shared": True}),
    "seq2seq, general, words": (
        "seq2seq",
        "network",
        _pairs,
        {**_PAIRS, "source_tokenizer": "words", "target_tokenizer": "words", "copy": True},
    ),
    "seq2seq, subwords": (
        "seq2seq",
        "network",
        _pairs,
        {**_PAIRS, "source_tokenizer": "subwords", "target_tokenizer": "subwords", "subword_size": 300},
    ),
    "seq2seq, fed": (
        "seq2seq",
        "network",
        _pairs,
        {**_PAIRS, "input_feeding": True, "output_feedback": True, "decoder_cell": "gru"},
    ),
    "seq2seq, additive": ("seq2seq", "network", _pairs, {**_PAIRS, "attention": "additive", "copy": True}),
    "seq2seq, hard": ("seq2seq", "network", _pairs, {**_PAIRS, "attention": "hard"}),
    "seq2seq, monotonic, features": (
        "seq2seq",
        "network",
        lambda: _pairs(True),
        {**_PAIRS, "attention": "hard", "monotonic": True, "copy": True},
    ),
    "seq2seq, user's cell": ("seq2seq", "network", _pairs, {**_PAIRS, "cell": "{cell}:Leaky"}),
}


@cache
def _cell_file() -> str:
    import tempfile
    from pathlib import Path

    path = Path(tempfile.mkdtemp()) / "leaky.py"
    path.write_text(USERS_CELL, encoding="utf-8")
    return str(path)


@cache
def model(name: str):
    """The model of this name, trained for a moment."""
    task, kind, data, settings = MODELS[name]
    settings = {k: v.format(cell=_cell_file()) if isinstance(v, str) else v for k, v in settings.items()}
    if kind in ("network", "cbow", "window"):
        settings = {"epochs": 2, "threads": 1, "learning_rate": 0.02, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model_class(task, kind)(**settings).fit(data())
