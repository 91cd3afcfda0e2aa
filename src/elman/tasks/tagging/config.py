"""What a tagger's network is told."""

from __future__ import annotations

import msgspec

from elman.errors import UsageError
from elman.tasks.settings import COUNT, NUMBER, SCHEME, SHARE, SIZE, Rules, check_rules


class TaggerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture of a tagger. The same defaults hold in Python and on the command line.

    hidden_size and char_hidden_size are those of each direction. Raises UsageError that says what was expected.
    """

    cell: str = "lstm"  # a registered cell, or file.py:MyCell
    hidden_size: int = 200
    layers: int = 1
    one_way: bool = False  # left to right only: the tagger can then run along with its input
    delays: int = 1  # how many earlier outputs U sees
    window_before: int = 0  # neighbouring words that each step sees at its input
    window_after: int = 0
    crf: bool = False
    scheme: str = "auto"  # io, iob1, iob2, bioes, none; auto looks at the training tags
    word_size: int = 128
    char_cell: str = "lstm"
    char_size: int = 48  # 0: no characters
    char_hidden_size: int = 96
    vectors: str | None = None  # a file of word vectors: word2vec, GloVe or fastText text
    dropout: float = 0.5  # variational, around and between the recurrent layers
    word_dropout: float = 0.2  # in training a word's own vector is 0 this often: its characters and neighbours must do
    unknown: float = 0.25  # in training a word seen n times is unknown with probability unknown / (unknown + n)

    def __post_init__(self) -> None:
        check_rules(self, _RULES)
        if self.word_size == 0 and self.char_size == 0 and self.vectors is None:
            raise UsageError("expected words, characters or vectors to read: word_size and char_size are both 0")
        if self.one_way and self.window_after:
            raise UsageError("one_way looks at nothing to the right, so window_after must be 0")


_RULES: Rules = {
    "hidden_size": COUNT,
    "layers": COUNT,
    "delays": COUNT,
    "char_hidden_size": COUNT,
    "word_size": SIZE,
    "char_size": SIZE,
    "window_before": SIZE,
    "window_after": SIZE,
    "dropout": SHARE,
    "word_dropout": SHARE,
    "unknown": NUMBER,
    "scheme": SCHEME,
}
