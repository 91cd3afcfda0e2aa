"""What a language model is told, and how it is trained."""

from __future__ import annotations

import msgspec

from elman.errors import UsageError
from elman.tasks.settings import COUNT, NUMBER, SHARE, SIZE, Rules, check_rules, one_of
from elman.text.tokenizing import TOKENIZERS
from elman.training.config import TrainingConfig


class CorpusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a text is cut into tokens, the same for every language model. Raises UsageError saying what was expected."""

    tokenizer: str = "space"  # space, words, characters, subwords
    subword_size: int = 4000  # entries of the subwords' vocabulary
    minimum: int = 0  # words seen less often are <unk>; 0: 2 in a text of words without <unk>, else 1

    def __post_init__(self) -> None:
        check_rules(self, TEXT_RULES)


class LanguageModelConfig(CorpusConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture of a language model. The same defaults hold in Python and on the command line."""

    cell: str = "lstm"  # a registered cell, or file.py:MyCell
    hidden_size: int = 400
    layers: int = 2
    embedding_size: int = 200  # 0: hidden_size
    tied: bool = True  # the matrix that reads words also writes them
    lines: bool = False  # every line for itself, from a fresh state, in place of one running stream
    input_dropout: float = 0.2  # variational, on the word vectors
    hidden_dropout: float = 0.1  # between the layers
    dropout: float = 0.3  # on the last layer's output
    embedding_dropout: float = 0.0  # whole words, for a window
    weight_dropout: float = 0.0  # entries of U, for a window
    ar: float = 0.0  # activation regularisation: weight of the mean square of the last layer's dropped output
    tar: float = 0.0  # temporal activation regularisation: of the mean square of its change from step to step
    precision: str = "float32"  # or bfloat16, in products

    def __post_init__(self) -> None:
        check_rules(self, {**TEXT_RULES, **_RULES})


class LanguageModelTraining(TrainingConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`TrainingConfig` with the defaults of a language model, and how its stream is cut.

    A stream is read in `batch_size` lanes side by side, in windows of about `bptt` steps; lines for themselves are put
    together by `batch_tokens`."""

    learning_rate: float = 4e-3
    decay: str = "cosine"  # type: ignore[assignment]
    clip: float = 1.0
    epochs: int = 20
    batch_tokens: int = 1000
    batch_size: int = 10
    bptt: int = 35

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "bptt"):
            if isinstance(getattr(self, name), bool) or getattr(self, name) < 1:
                value = getattr(self, name)
                raise UsageError(f"training option {name}: expected a whole number of 1 or more, found {value!r}")


TEXT_RULES: Rules = {
    "tokenizer": one_of(*TOKENIZERS),
    "subword_size": (lambda v: v >= 300, "a whole number of 300 or more"),
    "minimum": SIZE,
}
_RULES: Rules = {
    "hidden_size": COUNT,
    "layers": COUNT,
    "embedding_size": SIZE,
    "input_dropout": SHARE,
    "hidden_dropout": SHARE,
    "dropout": SHARE,
    "embedding_dropout": SHARE,
    "weight_dropout": SHARE,
    "ar": NUMBER,
    "tar": NUMBER,
    "precision": one_of("float32", "bfloat16"),
}
