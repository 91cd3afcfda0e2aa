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

# The keys of elman.text.labelled.EXAMPLE_FORMATS, which help must not wait for; a test holds the two together.
FORMATS = ("csv", "tsv", "jsonl", "label", "fasttext", "text")
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which chooses the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("folds", "--folds", "int", None, "cut the training data into so many parts, and test on each in turn"),
    Setting("fold", "--fold", "int", None, "train the model of this one of the folds only, from 1"),
    Setting("format", "--format", FORMATS, None, "of all the files (default: by suffix, or by the first line)"),
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
    "majority": (MajorityClassifierConfig,),
    "cbow": (CbowConfig, ClassifierTraining),
    "ngrams": (NgramClassifierConfig,),
}
TABLE = Table(DATA, ClassifierConfig, ClassifierTraining, RIVALS)
