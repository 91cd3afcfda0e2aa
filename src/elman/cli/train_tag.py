"""`elman train tag`: train a tagger, or go on with a training that was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.options import FORMATS
from elman.cli.output import note, note_skipped
from elman.cli.settings import CELL, ENCODING, INIT, OUT, SKIP_BROKEN, TRAINING, Setting, Table
from elman.cli.train_task import PERCENT, command, left_out

if TYPE_CHECKING:
    from elman.cli.reading import Reading
    from elman.text import Sentence

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
        ("auto", "none", "io", "iob1", "iob2", "bioes"),
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


class Tagging:
    """How the command reads a tagger's data."""

    task = "tag"
    table = Table(DATA, NETWORK, TRAINING, RIVALS)
    help = """Train a tagger on files with a tag for every word.

    \b
    elman train tag --train train.conllu --dev dev.conllu --out my-tagger
    elman train tag --train ner.tsv --column 4 --dev 10% --crf --max-time 10m --out my-tagger

    Flags are stronger than --set, and that than --config. Ctrl-C saves a checkpoint: --resume goes on from there and
    ends with the very weights that the uninterrupted training would have given.
    """

    def read(self, given: Mapping[str, Any], quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The sentences of every file by its key, and how they were read."""
        from elman.cli.reading import Asked, describe, tagged
        from elman.text import Skipped, read

        column = None if given.get("column") is None else str(given["column"])
        asked = Asked(given.get("format"), column, given.get("word_column"), given.get("encoding"))
        how: Reading = tagged(given["train"], asked)
        found: dict[str, list[Sentence]] = {}
        skip, skipped = bool(given.get("skip_broken")), {}
        for key in ("train", "dev", "test"):
            path = given.get(key)
            if path is None or (key == "dev" and PERCENT.fullmatch(str(path))):
                continue
            skipped[key] = Skipped()
            found[key] = read(path, how.format, encoding=how.encoding, tagged=skip, skip_broken=skip and skipped[key])
            note_skipped(skipped[key], key, "sentence")
            if not quiet:
                words = sum(len(sentence) for sentence in found[key])
                note(f"{key}: {len(found[key]):,} sentences, {words:,} words")
        return found, describe(how, found["train"]) | left_out(skipped, skip)

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"echo 'Ada lives in London' | elman predict {folder}", f"elman eval {folder} FILE"]


DOOR = Tagging()
tag = command(DOOR)
