"""The settings of language models."""

from __future__ import annotations

from elman.cli.settings import ENCODING, INIT, OUT, SKIP_BROKEN, Table
from elman.config import Setting
from elman.tasks.language_model.config import LanguageModelConfig, LanguageModelTraining, NGramConfig

DATA = (
    Setting("train", "--train", "text", None, "training text, one sentence or paragraph per line"),
    Setting("dev", "--dev", "text", None, "dev text, which selects the best epoch; or the end of train: 10%"),
    Setting("test", "--test", "text", None, "test text, scored once at the end"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
TABLE = Table(DATA, LanguageModelConfig, LanguageModelTraining, {"ngram": (NGramConfig,)})
