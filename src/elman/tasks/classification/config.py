"""The settings of classifiers: of the network and of its rivals."""

from __future__ import annotations

from elman.config import (
    CELL_HELP,
    COUNT,
    NUMBER,
    SHARE,
    SIZE,
    Config,
    Rule,
    TrainingConfig,
    config,
    one_of,
    setting,
)
from elman.errors import UsageError

FORM_SIZE = 16


@config
class TokensConfig(Config):
    """Of every classifier: what texts are split into."""

    # the keys of elman.text.tokenizing.TOKENIZERS; a test keeps them in sync
    tokenizer: str = setting(
        "words",
        "--tokenizer",
        "what texts are split into; space: at white space, for texts already tokenized",
        one_of("words", "characters", "subwords", "space"),
    )
    lowercase: bool = setting(False, "--lowercase", "read capitals as lower case")
    subword_size: int = setting(
        4000,
        "--subword-size",
        "number of subwords to learn",
        Rule(lambda v: v >= 256, "at least 256, one for each byte"),
    )
    longest: int = setting(
        0, "--longest", "a longer text (in tokens) is an error; 0: no limit; texts are never cut", SIZE
    )
    several: bool = setting(False, "--several", "any number of labels per text")


@config
class WordsConfig(TokensConfig):
    """Of every network, however it makes one vector of the words."""

    word_size: int = setting(128, "--word-size", "size of the learned token vectors; 0: none", SIZE)
    vectors: str | None = setting(None, "--vectors", "a file of word vectors: word2vec, GloVe or fastText text")
    head_size: int = setting(0, "--head/--head-size", "units of a hidden layer before the labels; 0: none", SIZE)
    # variational, around and between the recurrent layers
    dropout: float = setting(0.5, "--dropout", "share of units dropped in training", SHARE)
    word_dropout: float = setting(0.1, "--word-dropout", "share of tokens dropped in training", SHARE)
    # a word seen n times is unknown with probability unknown / (unknown + n)
    unknown: float = setting(0.25, "--unknown", "how readily rare words are dropped in training", NUMBER)
    class_weights: str = setting(
        "none",
        "--class-weights",
        "balanced: rare labels count as much as frequent ones",
        one_of("none", "balanced"),
    )
    label_smoothing: float = setting(
        0.0, "--label-smoothing", "share of the probability spread evenly over all labels", SHARE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word_size == 0 and self.vectors is None:
            raise UsageError("expected words or vectors to read: word_size is 0, and no vectors are given")


@config
class ClassifierConfig(WordsConfig):
    """The architecture of a classifier. The same defaults hold in Python and on the command line.

    hidden_size is per direction.
    """

    cell: str = setting("lstm", "--cell", CELL_HELP)
    hidden_size: int = setting(128, "--hidden/--hidden-size", "units per direction", COUNT)
    layers: int = setting(1, "--layers", "recurrent layers", COUNT)
    one_way: bool = setting(False, "--one-way", "read from left to right only")
    form_size: int | None = setting(
        None,
        "--form-size",
        "size of each vector of a token's prefixes, suffixes, shape and lower case; 0: none (default 16, and 0 for "
        "characters and subwords)",
        SIZE,
    )
    wide: int = setting(
        2,
        "--wide",
        "n-grams of one to this many tokens that have a weight for each label, beside the recurrent layers; 0: none",
        Rule(lambda v: 0 <= v <= 9, "a whole number from 0 to 9"),
    )
    # those of elman.layers.pooling.POOLINGS; a test keeps them in sync
    pooling: str = setting(
        "attention",
        "--pooling",
        "how the text's vector is made: from the last state of each direction, or from all outputs",
        one_of("final", "max", "mean", "attention"),
    )

    @property
    def size_of_forms(self) -> int:
        """Of each vector; 0: none."""
        if self.form_size is not None:
            return self.form_size
        return FORM_SIZE if self.tokenizer in ("words", "space") else 0


@config
class CbowConfig(WordsConfig):
    """The mean of the word vectors instead of a recurrent layer."""


@config
class NgramClassifierConfig(TokensConfig):
    """Logistic regression on the n-grams of a text."""

    ngram_order: int = setting(
        2,
        "--ngram-order",
        "n-grams of one to this many tokens",
        Rule(lambda v: 1 <= v <= 9, "a whole number from 1 to 9"),
    )
    l2: float | None = setting(
        None, "--l2", "strength of the penalty (default: chosen on dev data)", Rule(lambda v: v > 0, "a number above 0")
    )
    # of the part of the training data to set aside
    seed: int = setting(1, "--seed", "of all that is drawn at random", SIZE)


@config
class MajorityClassifierConfig(TokensConfig):
    """Only how texts are read."""

    seed: int = setting(1, "--seed", "of all that is drawn at random", SIZE)


@config
class ClassifierTraining(TrainingConfig):
    """How the networks are trained: `TrainingConfig` with defaults for a few thousand short texts.

    An epoch has few steps then: small batches make more of them, and the moving average must not look far back."""

    epochs: int = 6
    average: float = 0.99
    batch_tokens: int = 250
