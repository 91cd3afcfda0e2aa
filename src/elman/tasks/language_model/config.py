"""The settings of language models: of the network, its training, and its rival."""

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

HIGHEST = 7  # order of an n-gram model
PRECISIONS = ("float32", "bfloat16")  # of matrix products


@config
class CorpusConfig(Config):
    """Of every language model: how a text is split into tokens."""

    # the keys of elman.text.tokenizing.TOKENIZERS; a test keeps them in sync
    tokenizer: str = setting(
        "space",
        "--tokenizer",
        "the tokens of a line: as separated by white space, words of any script, characters, or subwords",
        one_of("space", "words", "characters", "subwords"),
    )
    subword_size: int = setting(
        4000,
        "--subword-size",
        "size of the subword vocabulary",
        Rule(lambda v: v >= 300, "a whole number of 300 or more"),
    )
    minimum: int = setting(
        0, "--minimum", "words seen less often are <unk>; 0: 2 for a text of words without <unk>, else 1", SIZE
    )


@config
class LanguageModelConfig(CorpusConfig):
    """The architecture of a language model. The same defaults hold in Python and on the command line."""

    cell: str = setting("lstm", "--cell", CELL_HELP)
    hidden_size: int = setting(400, "--hidden/--hidden-size", "units per layer", COUNT)
    layers: int = setting(2, "--layers", "recurrent layers", COUNT)
    embedding_size: int = setting(200, "--embedding-size", "size of the token vectors; 0: as hidden", SIZE)
    tied: bool = setting(True, "--tied", "one matrix for reading and writing tokens")
    lines: bool = setting(False, "--lines", "read each line independently, not all as one stream")
    input_dropout: float = setting(0.2, "--input-dropout", "variational, of the token vectors", SHARE)
    hidden_dropout: float = setting(0.1, "--hidden-dropout", "variational, between the layers", SHARE)
    dropout: float = setting(0.3, "--dropout", "variational, of the last layer's output", SHARE)
    embedding_dropout: float = setting(0.0, "--embedding-dropout", "of whole tokens, per window", SHARE)
    weight_dropout: float = setting(0.0, "--weight-dropout", "of entries of U, per window", SHARE)
    # weight of the mean square of the last layer's dropped output, and of its change from step to step
    ar: float = setting(0.0, "--ar", "activation regularisation", NUMBER)
    tar: float = setting(0.0, "--tar", "temporal activation regularisation", NUMBER)
    precision: str = setting("float32", "--precision", "of matrix products", one_of(*PRECISIONS))


@config
class LanguageModelTraining(TrainingConfig):
    """`TrainingConfig` with the defaults of a language model, and how its stream is split.

    A stream is read in `batch_size` lanes side by side, in windows of about `bptt` steps; independent lines are batched
    by `batch_tokens`."""

    learning_rate: float = 4e-3
    decay: str = "cosine"
    clip: float = 1.0
    epochs: int = 20
    batch_tokens: int = 1000
    batch_size: int = setting(10, "--batch-size", "lanes in which a stream is read, side by side", COUNT)
    bptt: int = setting(35, "--bptt", "steps per window of a stream, on average", COUNT)


@config
class NGramConfig(CorpusConfig):
    """Of the n-gram model."""

    order: int = setting(
        5,
        "--order",
        f"of the n-gram model, up to {HIGHEST}",
        Rule(lambda v: 1 <= v <= HIGHEST, f"a whole number from 1 to {HIGHEST}"),
    )
