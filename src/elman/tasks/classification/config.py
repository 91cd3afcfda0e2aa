"""What a classifier and its rivals are told."""

from __future__ import annotations

import msgspec

from elman.errors import UsageError
from elman.layers.pooling import POOLINGS
from elman.tasks.settings import COUNT, NUMBER, SHARE, SIZE, Rules, check_rules, one_of
from elman.text.tokenizing import TOKENIZERS
from elman.training import TrainingConfig


class TokensConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every model of labelled texts is told. Raises UsageError that says what was expected."""

    tokenizer: str = "words"  # words, characters, subwords, space
    lowercase: bool = False
    subword_size: int = 4000  # tokens of the tokenizer subwords
    longest: int = 0  # a text of more tokens is an error; 0: none is. Nothing is ever cut
    several: bool = False  # any number of labels a text

    def __post_init__(self) -> None:
        check_rules(self, {name: rule for name, rule in _RULES.items() if name in self.__struct_fields__})


class WordsConfig(TokensConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the networks are told, whatever makes one vector of the words."""

    word_size: int = 128
    vectors: str | None = None  # a file of word vectors: word2vec, GloVe or fastText text
    head_size: int = 0  # units of a hidden layer between the text's vector and the labels; 0: none
    dropout: float = 0.5  # variational, around and between the recurrent layers
    word_dropout: float = 0.1  # in training a word's vector is 0 this often
    unknown: float = 0.25  # in training a word seen n times is unknown with probability unknown / (unknown + n)
    class_weights: str = "none"  # balanced: every label counts alike in the loss, however rare it is
    label_smoothing: float = 0.0  # share of the probability that all labels get alike in what is to be learned

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word_size == 0 and self.vectors is None:
            raise UsageError("expected words or vectors to read: word_size is 0, and no vectors are given")


class ClassifierConfig(WordsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture of a classifier. The same defaults hold in Python and on the command line.

    hidden_size is that of each direction. Raises UsageError that says what was expected.
    """

    cell: str = "lstm"  # a registered cell, or file.py:MyCell
    hidden_size: int = 128
    layers: int = 1
    one_way: bool = False  # left to right only
    pooling: str = "attention"  # final, max, mean, attention


class CbowConfig(WordsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mean of the words' vectors in the place of a recurrent layer."""


class NgramClassifierConfig(TokensConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logistic regression on the n-grams that a text has."""

    ngram_order: int = 2  # n-grams of 1 to so many tokens
    l2: float | None = None  # strength of the L2 penalty; None: chosen on dev data
    seed: int = 1  # of the part of the training data that is set aside


class MajorityClassifierConfig(TokensConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing but how texts are read."""

    seed: int = 1


class ClassifierTraining(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the networks are trained: `TrainingConfig` with defaults for some thousands of short texts.

    An epoch has few steps then: small batches make more of them, and the moving average must not look far back."""

    epochs: int = 6
    average: float = 0.99
    batch_tokens: int = 250


_RULES: Rules = {
    "tokenizer": one_of(*TOKENIZERS),
    "subword_size": (lambda v: v >= 256, "at least 256, one for each byte"),
    "longest": SIZE,
    "hidden_size": COUNT,
    "layers": COUNT,
    "pooling": one_of(*POOLINGS),
    "word_size": SIZE,
    "head_size": SIZE,
    "dropout": SHARE,
    "word_dropout": SHARE,
    "unknown": NUMBER,
    "class_weights": one_of("none", "balanced"),
    "label_smoothing": SHARE,
    "ngram_order": (lambda v: 1 <= v <= 9, "a whole number from 1 to 9"),
    "l2": (lambda v: v is None or v > 0, "a number above 0, or none"),
    "seed": SIZE,
}
