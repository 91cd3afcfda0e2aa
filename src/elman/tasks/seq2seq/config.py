"""The settings of sequence to sequence: of the network, its training, and its rivals."""

from __future__ import annotations

from typing import ClassVar

from elman.config import (
    CELL_HELP,
    COUNT,
    SHARE,
    SIZE,
    Config,
    Rule,
    TrainingConfig,
    config,
    one_of,
    setting,
)
from elman.config.training import passes
from elman.errors import UsageError

# the keys of elman.text.tokenizing.TOKENIZERS; a test keeps them in sync
_TOKENIZERS = one_of("characters", "words", "space", "subwords")
ATTENTIONS = ("none", "dot", "general", "additive", "hard")


@config
class PairsConfig(Config):
    """Of every model: how both sides are split into symbols."""

    source_tokenizer: str = setting(
        "characters", "--source-tokenizer", "the symbols of a source; space: at white space", _TOKENIZERS
    )
    target_tokenizer: str = setting(
        "characters", "--target-tokenizer", "the symbols of a target; space: at white space", _TOKENIZERS
    )
    subword_size: int = setting(
        4000,
        "--subword-size",
        "size of the subword vocabulary",
        Rule(lambda v: v >= 300, "a whole number of 300 or more"),
    )
    several: bool = setting(False, "--several", "a source may have several right targets")


@config
class Seq2SeqConfig(PairsConfig):
    """The architecture of an encoder-decoder. The same defaults hold in Python and on the command line.

    hidden_size is that of the decoder, and of each direction of the encoder."""

    minimum: int = setting(1, "--minimum", "symbols seen less often are unknown", COUNT)
    shared: bool = setting(False, "--shared", "one vocabulary, and one table of vectors, for both sides")
    cell: str = setting("lstm", "--cell", CELL_HELP)
    decoder_cell: str | None = setting(None, "--decoder-cell", "of the decoder (default: as the encoder)")
    hidden_size: int = setting(256, "--hidden/--hidden-size", "units of the decoder, and of each direction", COUNT)
    layers: int = setting(1, "--layers", "recurrent layers of the encoder, and of the decoder", COUNT)
    one_way: bool = setting(False, "--one-way", "read the source from left to right only")
    embedding_size: int = setting(128, "--embedding-size", "size of the symbols' vectors", COUNT)
    tied: bool = setting(True, "--tied", "one matrix for reading and writing target symbols")
    attention: str = setting(
        "general",
        "--attention",
        "on the source: none; dot, general or additive scores; hard: the alignment is summed out exactly",
        one_of(*ATTENTIONS),
    )
    monotonic: bool = setting(False, "--monotonic", "hard attention never moves back")
    input_feeding: bool = setting(False, "--input-feeding", "the decoder reads what attention gave at the step before")
    copy: bool = setting(False, "--copy", "symbols may be copied from the source, unknown ones too")
    output_feedback: bool = setting(
        False, "--output-feedback", "the decoder reads the distribution that it gave at the step before"
    )
    dropout: float = setting(0.3, "--dropout", "variational, of vectors, between layers and before the output", SHARE)
    # a source symbol seen n times is unknown with probability unknown / (unknown + n)
    unknown: float = setting(0.1, "--unknown", "how readily rare source symbols are dropped in training", SHARE)
    label_smoothing: float | None = setting(
        None,
        "--label-smoothing",
        "share of the probability spread evenly over all symbols (default: 0.1; with hard attention or copying 0)",
        SHARE,
    )
    precision: str = setting("float32", "--precision", "of matrix products", one_of("float32", "bfloat16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.monotonic and self.attention != "hard":
            raise UsageError(f"setting monotonic: expected attention hard with it, found {self.attention}")
        if self.copy and self.attention == "none":
            raise UsageError("setting copy: expected attention, which says what is copied, found none")
        if self.input_feeding and self.attention in ("none", "hard", "additive"):
            why = "has it already" if self.attention == "additive" else "gives no vector to feed"
            raise UsageError(f"setting input_feeding: expected attention dot or general; {self.attention} {why}")
        if self.label_smoothing and (self.copy or self.attention == "hard"):
            raise UsageError("setting label_smoothing: expected 0 with hard attention or copying, which mix softmaxes")
        if self.output_feedback and (self.copy or self.attention == "hard"):
            raise UsageError("setting output_feedback: it feeds one softmax; leave out hard attention and copying")

    @property
    def smoothing(self) -> float:
        """The share that is spread evenly."""
        if self.label_smoothing is not None:
            return self.label_smoothing
        return 0.0 if self.copy or self.attention == "hard" else 0.1

    @property
    def fed(self) -> bool:
        """Whether a step of the decoder reads what the step before gave, so that steps cannot be computed together."""
        return self.input_feeding or self.output_feedback or self.attention == "additive"


@config
class Seq2SeqTraining(TrainingConfig):
    """`TrainingConfig` with the defaults of sequence to sequence; batches are counted in symbols of both sides."""

    updates: ClassVar[int] = 4000

    epochs: int | None = setting(None, "--epochs", passes(updates), COUNT)
    learning_rate: float = 2e-3
    decay: str = "cosine"
    clip: float = 2.0
    batch_tokens: int = setting(800, "--batch-tokens", "symbols of both sides per batch, approximately", COUNT)
    invented: int = setting(
        0, "--invented", "made-up pairs to train on too: shared stems replaced at random; for little data", SIZE
    )


@config
class CopyConfig(PairsConfig):
    """The rival that copies the source."""


@config
class MemoryConfig(PairsConfig):
    """The rival that remembers the training data."""


@config
class RuleConfig(PairsConfig):
    """The rules of prefixes and suffixes."""


@config
class JointConfig(PairsConfig):
    """The joint n-gram transducer."""

    order: int = setting(
        7, "--joint-order", "of the n-gram model over chunks", Rule(lambda v: 1 <= v <= 7, "from 1 to 7")
    )
    chunk: int = setting(2, "--chunk", "longest chunk of either side", Rule(lambda v: 1 <= v <= 4, "from 1 to 4"))
    iterations: int = setting(10, "--iterations", "of EM, which aligns sources and targets", COUNT)
    joint_beam: int = setting(20, "--joint-beam", "hypotheses kept at each place of a source", COUNT)
