"""The settings of sequence to sequence."""

from __future__ import annotations

from elman.cli.settings import ENCODING, INIT, OUT, SKIP_BROKEN, Table
from elman.config import Setting
from elman.tasks.seq2seq.config import (
    CopyConfig,
    JointConfig,
    MemoryConfig,
    RuleConfig,
    Seq2SeqConfig,
    Seq2SeqTraining,
)

# The keys of elman.text.pairs.PAIR_FORMATS, which help must not wait for; a test keeps the two in sync.
FORMATS = ("tsv", "csv", "jsonl", "parallel", "scan", "text")
DATA = (
    Setting("train", "--train", "text", None, "training data; two parallel files are SOURCES::TARGETS"),
    Setting("dev", "--dev", "text", None, "dev data, which selects the best epoch; or a part of train: 10%"),
    Setting("test", "--test", "text", None, "test data, scored once at the end"),
    Setting("format", "--format", FORMATS, None, "format of all files (default: by suffix, or by the first line)"),
    Setting("source_column", "--source-column", "text", None, "the column or key of the sources"),
    Setting("target_column", "--target-column", "text", None, "the column or key of the targets"),
    Setting("features_column", "--features-column", "text", None, "a column or key of more source symbols"),
    Setting("features_separator", "--features-separator", "text", None, "what separates these (default ;)"),
    Setting("header", "--header", "switch", None, "whether the first row names the columns (default: detected)"),
    Setting("separator", "--separator", "text", None, "separator of several targets in a cell (default |)"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
RIVALS = {
    "copy": (CopyConfig,),
    "memory": (MemoryConfig,),
    "rules": (RuleConfig,),
    "joint": (JointConfig,),
}
TABLE = Table(DATA, Seq2SeqConfig, Seq2SeqTraining, RIVALS)
