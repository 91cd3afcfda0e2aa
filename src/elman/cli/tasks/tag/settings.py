"""The settings of taggers."""

from __future__ import annotations

from elman.cli.settings import CELL, ENCODING, INIT, OUT, SKIP_BROKEN, TRAINING, Setting, Table
from elman.schemes import SCHEMES

# The keys of elman.text.FORMATS, which help must not wait for; a test holds the two together.
FORMATS = ("conllu", "columns", "text", "jsonl")
NETWORK = (
    CELL,
    Setting("hidden_size", "--hidden/--hidden-size", "int", 200, "units of each direction"),
    Setting("layers", "--layers", "int", 1, "recurrent layers"),
    Setting("one_way", "--one-way", "switch", False, "read from left to right only"),
    Setting("delays", "--delays", "int", 1, "how many earlier outputs each step sees"),
    Setting("window_before", "", "int", 0, "neighbouring words before, which each step sees too"),
    Setting("window_after", "", "int", 0, "neighbouring words after"),
    Setting("crf", "--crf", "switch", False, "score whole tag sequences, by a linear-chain CRF"),
    Setting(
        "scheme",
        "--scheme",
        ("auto", "none", *SCHEMES),
        "auto",
        "how tags mark spans; auto looks at the training tags",
    ),
    Setting("word_size", "--word-size", "int", 128, "size of the learned word vectors; 0: none"),
    Setting("char_cell", "--char-cell", "text", "lstm", "cell of the character encoder"),
    Setting("char_size", "--char-size", "int", 48, "size of the character vectors; 0: no characters"),
    Setting("char_hidden_size", "--char-hidden/--char-hidden-size", "int", 96, "units of the character encoder"),
    Setting("vectors", "--vectors", "text", None, "a file of word vectors: word2vec, GloVe or fastText text"),
    Setting("dropout", "--dropout", "float", 0.5, "share of the units dropped in training"),
    Setting(
        "word_dropout", "--word-dropout", "float", 0.2, "share of the words read by their characters alone in training"
    ),
    Setting("unknown", "--unknown", "float", 0.25, "how readily rare words are dropped in training"),
)
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which chooses the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("format", "--format", FORMATS, None, "of all the files (default: by the suffix of the training file)"),
    Setting(
        "column",
        "--column",
        "text",
        None,
        "where the tags are: upos, xpos, feats, feats:Key, misc:Key; a column's number; a key of JSON lines "
        "(default upos, the last column, tags)",
    ),
    Setting("word_column", "--word-column", "int", None, "the words' column of a column file (default 1)"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
_SCHEME = next(s for s in NETWORK if s.key == "scheme")
_OF_WINDOW = ("hidden_size", "crf", "scheme", "word_size", "vectors", "dropout", "word_dropout", "unknown")
_DECODING = Setting(
    "decoding",
    "--decoding",
    ("viterbi", "posterior"),
    "viterbi",
    "of hmm and trigram: the best sequence of tags, or the best tag at each place",
)
RIVALS: dict[str, tuple[Setting, ...]] = {
    "majority": (_SCHEME,),
    "hmm": (
        _SCHEME,
        _DECODING,
        Setting("smoothing", "--smoothing", "float", 0.001, "of hmm: added to every count"),
    ),
    "trigram": (_SCHEME, _DECODING),
    "window": (
        Setting("context", "--context", "int", 2, "of window: neighbouring words on either side"),
        Setting("affix", "--affix", "int", 4, "of window: characters at either end of a word"),
        Setting("affix_size", "--affix-size", "int", 24, "of window: size of their vectors; 0: no characters"),
        *(s for s in NETWORK if s.key in _OF_WINDOW),
        *TRAINING,
    ),
    "crf": (
        _SCHEME,
        Setting("c1", "--c1", "float", 0.1, "of crf: penalty of the sizes of the weights"),
        Setting("c2", "--c2", "float", 0.01, "of crf: penalty of their squares"),
        Setting("max_iterations", "--max-iterations", "int", 100, "of crf: steps of L-BFGS at most"),
    ),
}
TABLE = Table(DATA, NETWORK, TRAINING, RIVALS)
