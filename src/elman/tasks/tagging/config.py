"""The settings of taggers: of the network and of its rivals."""

from __future__ import annotations

from elman.config import CELL_HELP, COUNT, NUMBER, SHARE, SIZE, Config, config, one_of, setting
from elman.config.setting import Rule
from elman.errors import UsageError
from elman.schemes import SCHEMES

LONGEST_AFFIX = 32  # characters: half of what is read of a long word, see elman.layers.characters


@config
class CountedConfig(Config):
    """Of every tagger; the majority tagger has no others."""

    scheme: str = setting(
        "auto",
        "--scheme",
        "how tags mark spans; auto looks at the training tags",
        one_of("auto", "none", *SCHEMES),
    )


@config
class WordsConfig(CountedConfig):
    """Of every network."""

    hidden_size: int = setting(200, "--hidden/--hidden-size", "units per direction", COUNT)
    crf: bool = setting(False, "--crf", "score whole tag sequences, by a linear-chain CRF")
    word_size: int = setting(128, "--word-size", "size of the learned word vectors; 0: none", SIZE)
    vectors: str | None = setting(None, "--vectors", "a file of word vectors: word2vec, GloVe or fastText text")
    # variational, around and between the layers
    dropout: float = setting(0.5, "--dropout", "share of units dropped in training", SHARE)
    # which leaves its characters and neighbours
    word_dropout: float = setting(
        0.2, "--word-dropout", "share of words read by their characters alone in training", SHARE
    )
    # a word seen n times is unknown with probability unknown / (unknown + n)
    unknown: float = setting(0.25, "--unknown", "how readily rare words are dropped in training", NUMBER)

    def _require_something_to_read(self, *others: str) -> None:
        sizes = ("word_size", *others)
        if not any(getattr(self, name) for name in sizes) and self.vectors is None:
            raise UsageError(f"expected words, characters or vectors to read: {' and '.join(sizes)} are all 0")


@config
class TaggerConfig(WordsConfig):
    """The architecture of a tagger. The same defaults hold in Python and on the command line.

    hidden_size and char_hidden_size are per direction.
    """

    cell: str = setting("lstm", "--cell", CELL_HELP)
    layers: int = setting(1, "--layers", "recurrent layers", COUNT)
    # the tagger can then keep up with its input as it arrives
    one_way: bool = setting(False, "--one-way", "read from left to right only")
    # Graves and Schmidhuber 2005, Framewise phoneme classification: delayed targets
    delay: int | None = setting(
        None,
        "--delay",
        "read from left to right only, and tag a word after this many more; 0: as --one-way",
        SIZE,
    )
    delays: int = setting(1, "--delays", "how many earlier outputs each step sees", COUNT)
    window_before: int = setting(0, "", "preceding words that each step sees too", SIZE)
    window_after: int = setting(0, "", "following words that each step sees too", SIZE)
    char_cell: str = setting("lstm", "--char-cell", "cell of the character encoder")
    form_size: int = setting(
        24, "--form-size", "size of each vector of a word's prefixes, suffixes, shape and lower case; 0: none", SIZE
    )
    char_size: int = setting(48, "--char-size", "size of the character vectors; 0: no characters", SIZE)
    char_hidden_size: int = setting(96, "--char-hidden/--char-hidden-size", "units of the character encoder", COUNT)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_something_to_read("char_size", "form_size")
        if self.delay is not None:
            object.__setattr__(self, "one_way", True)
        if self.one_way and self.window_after:
            raise UsageError("one_way sees nothing to the right, so window_after must be 0")


@config
class WindowConfig(WordsConfig):
    """The architecture of the window tagger."""

    context: int = setting(2, "--context", "for window: neighbouring words on either side", SIZE)
    affix: int = setting(
        4,
        "--affix",
        "for window: characters at either end of a word",
        Rule(lambda v: 1 <= v <= LONGEST_AFFIX, f"a whole number from 1 to {LONGEST_AFFIX}"),
    )
    affix_size: int = setting(24, "--affix-size", "for window: size of the character vectors; 0: no characters", SIZE)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_something_to_read("affix_size")


@config
class DecodingConfig(CountedConfig):
    """Of the hidden Markov models."""

    decoding: str = setting(
        "viterbi",
        "--decoding",
        "for hmm and trigram: the best tag sequence, or the best tag at each position",
        one_of("viterbi", "posterior"),
    )


@config
class HMMConfig(DecodingConfig):
    """Of the hidden Markov model of first order."""

    smoothing: float = setting(0.001, "--smoothing", "for hmm: added to every count", NUMBER)


@config
class CRFConfig(CountedConfig):
    """Of the CRF over features."""

    c1: float = setting(0.1, "--c1", "for crf: L1 penalty of the weights", NUMBER)
    c2: float = setting(0.01, "--c2", "for crf: L2 penalty of the weights", NUMBER)
    max_iterations: int = setting(100, "--max-iterations", "for crf: maximum number of L-BFGS steps", COUNT)
