"""The settings of classifiers."""

from __future__ import annotations

from elman.cli.settings import ENCODING, INIT, OUT, SKIP_BROKEN, Table
from elman.config import Setting
from elman.tasks.classification.config import (
    CbowConfig,
    ClassifierConfig,
    ClassifierTraining,
    MajorityClassifierConfig,
    NgramClassifierConfig,
)

# The keys of elman.text.labelled.EXAMPLE_FORMATS, which help must not wait for; a test keeps the two in sync.
FORMATS = ("csv", "tsv", "jsonl", "label", "fasttext", "text")
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which selects the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("folds", "--folds", "int", None, "split the training data into this many parts, and test on each in turn"),
    Setting("fold", "--fold", "int", None, "train only the model of this fold, counted from 1"),
    Setting("format", "--format", FORMATS, None, "format of all files (default: by suffix, or by the first line)"),
    Setting("text_column", "--text-column", "text", None, "the column or key of the texts, by name or number from 1"),
    Setting("label_column", "--label-column", "text", None, "the column or key of the labels"),
    Setting("header", "--header", "switch", None, "whether the first row names the columns (default: detected)"),
    Setting("separator", "--separator", "text", None, "separator of several labels in a cell (default |)"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
RIVALS = {
    "majority": (MajorityClassifierConfig,),
    "cbow": (CbowConfig, ClassifierTraining),
    "ngrams": (NgramClassifierConfig,),
}
TABLE = Table(DATA, ClassifierConfig, ClassifierTraining, RIVALS)
