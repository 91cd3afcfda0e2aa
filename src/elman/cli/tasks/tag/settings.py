"""The settings of taggers."""

from __future__ import annotations

from elman.cli.settings import ENCODING, INIT, OUT, SKIP_BROKEN, Table
from elman.config import Setting, TrainingConfig
from elman.tasks.tagging.config import (
    CountedConfig,
    CRFConfig,
    DecodingConfig,
    HMMConfig,
    TaggerConfig,
    WindowConfig,
)

# The keys of elman.text.FORMATS, which help must not wait for; a test keeps the two in sync.
FORMATS = ("conllu", "columns", "text", "jsonl")
DATA = (
    Setting("train", "--train", "text", None, "training data"),
    Setting("dev", "--dev", "text", None, "dev data, which selects the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("format", "--format", FORMATS, None, "format of all files (default: by the suffix of the training file)"),
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
RIVALS = {
    "majority": (CountedConfig,),
    "hmm": (HMMConfig,),
    "trigram": (DecodingConfig,),
    "window": (WindowConfig, TrainingConfig),
    "crf": (CRFConfig,),
}
TABLE = Table(DATA, TaggerConfig, TrainingConfig, RIVALS)
