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


@config
class TokensConfig(Config):
    """Of every classifier: what texts are cut into."""

    # the keys of elman.text.tokenizing.TOKENIZERS; a test holds them together
    tokenizer: str = setting(
        "words",
        "--tokenizer",
        "what texts are cut into; space: at white space, for texts that are tokenized",
        one_of("words", "characters", "subwords", "space"),
    )
    lowercase: bool = setting(False, "--lowercase", "read capitals as small letters")
    subword_size: int = setting(
        4000,
        "--subword-size",
        "how many subwords are learned",
        Rule(lambda v: v >= 256, "at least 256, one for each byte"),
    )
    longest: int = setting(0, "--longest", "a text of more tokens is an error; 0: none is, nothing is ever cut", SIZE)
    several: bool = setting(False, "--several", "any number of labels a text")


@config
class WordsConfig(TokensConfig):
    """Of every network, whatever makes one vector of the words."""

    word_size: int = setting(128, "--word-size", "size of the learned vectors of tokens; 0: none", SIZE)
    vectors: str | None = setting(None, "--vectors", "a file of word vectors: word2vec, GloVe or fastText text")
    head_size: int = setting(0, "--head/--head-size", "units of a hidden layer before the labels; 0: none", SIZE)
    # variational, around and between the recurrent layers
    dropout: float = setting(0.5, "--dropout", "share of the units dropped in training", SHARE)
    word_dropout: float = setting(0.1, "--word-dropout", "share of the tokens dropped in training", SHARE)
    # a word seen n times is unknown with probability unknown / (unknown + n)
    unknown: float = setting(0.25, "--unknown", "how readily rare words are dropped in training", NUMBER)
    class_weights: str = setting(
        "none",
        "--class-weights",
        "balanced: rare labels count as much as frequent ones",
        one_of("none", "balanced"),
    )
    label_smoothing: float = setting(
        0.0, "--label-smoothing", "share of the probability given to all labels alike", SHARE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.word_size == 0 and self.vectors is None:
            raise UsageError("expected words or vectors to read: word_size is 0, and no vectors are given")


@config
class ClassifierConfig(WordsConfig):
    """The architecture of a classifier. The same defaults hold in Python and on the command line.

    hidden_size is that of each direction.
    """

    cell: str = setting("lstm", "--cell", CELL_HELP)
    hidden_size: int = setting(128, "--hidden/--hidden-size", "units of each direction", COUNT)
    layers: int = setting(1, "--layers", "recurrent layers", COUNT)
    one_way: bool = setting(False, "--one-way", "read from left to right only")
    # those of elman.layers.pooling.POOLINGS; a test holds them together
    pooling: str = setting(
        "attention",
        "--pooling",
        "what becomes the text's vector: the last state of each direction, or all outputs together",
        one_of("final", "max", "mean", "attention"),
    )


@config
class CbowConfig(WordsConfig):
    """The mean of the words' vectors in the place of a recurrent layer."""


@config
class NgramClassifierConfig(TokensConfig):
    """Logistic regression on the n-grams that a text has."""

    ngram_order: int = setting(
        2,
        "--ngram-order",
        "n-grams of one to so many tokens",
        Rule(lambda v: 1 <= v <= 9, "a whole number from 1 to 9"),
    )
    l2: float | None = setting(
        None, "--l2", "strength of the penalty (default: chosen on dev data)", Rule(lambda v: v > 0, "a number above 0")
    )
    # of the part of the training data that is set aside
    seed: int = setting(1, "--seed", "of all that is drawn at random", SIZE)


@config
class MajorityClassifierConfig(TokensConfig):
    """Nothing but how texts are read."""

    seed: int = setting(1, "--seed", "of all that is drawn at random", SIZE)


@config
class ClassifierTraining(TrainingConfig):
    """How the networks are trained: `TrainingConfig` with defaults for some thousands of short texts.

    An epoch has few steps then: small batches make more of them, and the moving average must not look far back."""

    epochs: int = 6
    average: float = 0.99
    batch_tokens: int = 250
