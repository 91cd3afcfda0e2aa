"""`elman train classify`: train a classifier of texts, or go on with a training that was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elman.cli.options import TEXT_FORMATS
from elman.cli.output import note, note_skipped
from elman.cli.settings import CELL, ENCODING, INIT, OUT, SKIP_BROKEN, TRAINING, Setting, Table, with_defaults
from elman.cli.train_task import PERCENT, command, left_out
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.text.example import Example

TEXTS = (
    Setting(
        "tokenizer",
        "--tokenizer",
        ("words", "characters", "subwords", "space"),
        "words",
        "what texts are cut into; space: at white space, for texts that are tokenized",
    ),
    Setting("lowercase", "--lowercase", "switch", False, "read capitals as small letters"),
    Setting("subword_size", "--subword-size", "int", 4000, "how many subwords are learned"),
    Setting("longest", "--longest", "int", 0, "a text of more tokens is an error; 0: none is, nothing is ever cut"),
    Setting("several", "--several", "switch", False, "any number of labels a text"),
)
WORDS = (
    Setting("word_size", "--word-size", "int", 128, "size of the learned vectors of tokens; 0: none"),
    Setting("vectors", "--vectors", "text", None, "a file of word vectors: word2vec, GloVe or fastText text"),
    Setting("head_size", "--head/--head-size", "int", 0, "units of a hidden layer before the labels; 0: none"),
    Setting("dropout", "--dropout", "float", 0.5, "share of the units dropped in training"),
    Setting("word_dropout", "--word-dropout", "float", 0.1, "share of the tokens dropped in training"),
    Setting("unknown", "--unknown", "float", 0.25, "how readily rare words are dropped in training"),
    Setting(
        "class_weights",
        "--class-weights",
        ("none", "balanced"),
        "none",
        "balanced: rare labels count as much as frequent ones",
    ),
    Setting("label_smoothing", "--label-smoothing", "float", 0.0, "share of the probability given to all labels alike"),
)
NETWORK = (
    CELL,
    Setting("hidden_size", "--hidden/--hidden-size", "int", 128, "units of each direction"),
    Setting("layers", "--layers", "int", 1, "recurrent layers"),
    Setting("one_way", "--one-way", "switch", False, "read from left to right only"),
    Setting(
        "pooling",
        "--pooling",
        ("final", "max", "mean", "attention"),
        "attention",
        "what becomes the text's vector: the last state of each direction, or all outputs together",
    ),
    *TEXTS,
    *WORDS,
)
TRAINED = with_defaults(TRAINING, epochs=6, average=0.99, batch_tokens=250)
SEED = next(setting for setting in TRAINING if setting.key == "seed")
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which chooses the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("folds", "--folds", "int", None, "cut the training data into so many parts, and test on each in turn"),
    Setting("fold", "--fold", "int", None, "train the model of this one of the folds only, from 1"),
    Setting("format", "--format", TEXT_FORMATS, None, "of all the files (default: by suffix, or by the first line)"),
    Setting("text_column", "--text-column", "text", None, "the column or key of the texts, by name or number from 1"),
    Setting("label_column", "--label-column", "text", None, "the column or key of the labels"),
    Setting("header", "--header", "switch", None, "whether the first row names the columns (default: found out)"),
    Setting("separator", "--separator", "text", None, "between several labels of a cell (default |)"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
RIVALS = {
    "majority": (*TEXTS, SEED),
    "cbow": (*TEXTS, *WORDS, *TRAINED),
    "ngrams": (
        *TEXTS,
        Setting("ngram_order", "--ngram-order", "int", 2, "n-grams of one to so many tokens"),
        Setting("l2", "--l2", "float", None, "strength of the penalty (default: chosen on dev data)"),
        SEED,
    ),
}


class Classification:
    """How the command reads a classifier's data."""

    task = "classify"
    table = Table(DATA, NETWORK, TRAINED, RIVALS)
    help = """Train a classifier on files of labelled texts.

    \b
    elman train classify --train train.csv --dev dev.csv --test test.csv --out my-classifier
    elman train classify --train reviews.jsonl --text-column body --label-column stars --dev 10% --out my-classifier
    elman train classify --train train.csv --dev 10% --folds 10 --out my-folds

    With --folds there is a model for each fold, DIR/fold-1 and so on, tested on what it has not seen; DIR/folds.json
    has the mean scores. --model takes a rival of the network: the majority label, the mean of word vectors (cbow), or
    logistic regression on n-grams (ngrams).

    Flags are stronger than --set, and that than --config. Ctrl-C saves a checkpoint: --resume goes on from there and
    ends with the very weights that the uninterrupted training would have given.
    """

    def read(self, given: Mapping[str, Any], quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The examples of every file by its key, and how they were read."""
        from elman.text.labelled import iter_examples, read_examples
        from elman.text.skipping import Skipped

        _require_folds(given)
        asked: dict[str, Any] = {key: given.get(key) for key in ("text_column", "label_column", "header", "separator")}
        skip, skipped = bool(given.get("skip_broken")), {"train": Skipped()}
        examples = iter_examples(
            given["train"],
            given.get("format"),
            encoding=given.get("encoding") or "utf-8",
            several=bool(given.get("several")),
            skip_broken=skip and skipped["train"],
            **asked,
        )
        found: dict[str, list[Example]] = {"train": list(examples)}
        for key in ("dev", "test"):
            path = given.get(key)
            if path is not None and not (key == "dev" and PERCENT.fullmatch(str(path))):
                skipped[key] = Skipped()
                found[key] = read_examples(path, skip_broken=skip and skipped[key], **examples.how)
        for key, one in skipped.items():
            note_skipped(one, key, "text")
        if given.get("fold") is not None:
            from elman.tasks.classification.data import fold

            found["train"], found["test"] = fold(found["train"], given["fold"], given["folds"], given["seed"])
        if not quiet:
            for key, part in found.items():
                labels = len({label for example in part for label in example.labels or ()})
                note(f"{key}: {len(part):,} texts, {labels} labels")
        kept = ("format", "encoding", "text_column", "label_column", "header", "separator")
        reading = {key: examples.how[key] for key in kept if examples.how.get(key) is not None}
        return found, reading | left_out(skipped, skip)

    def hints(self, folder: str) -> list[str]:
        """Commands to try."""
        return [f"echo 'a wonderful film' | elman predict {folder}", f"elman eval {folder} FILE"]


def _require_folds(given: Mapping[str, Any]) -> None:
    """Raise UsageError unless the keys of folds fit together."""
    folds, fold = given.get("folds"), given.get("fold")
    if fold is not None and folds is None:
        raise UsageError("--fold says which of the folds; --folds, how many there are, is missing")
    if folds is not None and (folds < 2 or not 1 <= (1 if fold is None else fold) <= folds):
        raise UsageError(f"--folds: expected 2 or more, and --fold one of them from 1, found {folds} and {fold}")
    if folds is not None and given.get("test") is not None:
        raise UsageError("--folds tests on a part of the training data; leave out --test")


DOOR = Classification()
classify = command(DOOR)
