"""The settings of language models."""

from __future__ import annotations

from elman.cli.settings import CELL, ENCODING, INIT, OUT, SKIP_BROKEN, TRAINING, Setting, Table, with_defaults

TOKENIZERS = ("space", "words", "characters", "subwords")
TEXT = (
    Setting(
        "tokenizer",
        "--tokenizer",
        TOKENIZERS,
        "space",
        "what the tokens of a line are: what white space divides, words of any script, characters, or subwords",
    ),
    Setting("subword_size", "--subword-size", "int", 4000, "size of the subwords' vocabulary"),
    Setting(
        "minimum",
        "--minimum",
        "int",
        0,
        "words seen less often are <unk>; 0: 2 in a text of words without <unk>, else 1",
    ),
)
NETWORK = (
    *TEXT,
    CELL,
    Setting("hidden_size", "--hidden/--hidden-size", "int", 400, "units of each layer"),
    Setting("layers", "--layers", "int", 2, "recurrent layers"),
    Setting("embedding_size", "--embedding-size", "int", 200, "size of the tokens' vectors; 0: as hidden"),
    Setting("tied", "--tied", "switch", True, "one matrix reads and writes the tokens"),
    Setting("lines", "--lines", "switch", False, "read each line for itself, not all as one stream"),
    Setting("input_dropout", "--input-dropout", "float", 0.2, "variational, of the tokens' vectors"),
    Setting("hidden_dropout", "--hidden-dropout", "float", 0.1, "variational, between the layers"),
    Setting("dropout", "--dropout", "float", 0.3, "variational, of the last layer's output"),
    Setting("embedding_dropout", "--embedding-dropout", "float", 0.0, "whole tokens, for a window"),
    Setting("weight_dropout", "--weight-dropout", "float", 0.0, "entries of U, for a window"),
    Setting("ar", "--ar", "float", 0.0, "activation regularisation"),
    Setting("tar", "--tar", "float", 0.0, "temporal activation regularisation"),
    Setting("precision", "--precision", ("float32", "bfloat16"), "float32", "of the products"),
)
STREAM = (
    Setting("batch_size", "--batch-size", "int", 10, "lanes that a stream is read in, side by side"),
    Setting("bptt", "--bptt", "int", 35, "steps of a window of a stream, on average"),
)
CHANGED = {"learning_rate": 4e-3, "decay": "cosine", "clip": 1.0, "epochs": 20, "batch_tokens": 1000}
DATA = (
    Setting("train", "--train", "text", None, "training text, one sentence or paragraph a line"),
    Setting("dev", "--dev", "text", None, "dev text, which chooses the best epoch; or the end of train: 10%"),
    Setting("test", "--test", "text", None, "test text, scored once at the end"),
    ENCODING,
    SKIP_BROKEN,
    OUT,
    INIT,
)
RIVALS = {"ngram": (*TEXT, Setting("order", "--order", "int", 5, "of the n-gram model, up to 7"))}
TABLE = Table(DATA, NETWORK, (*with_defaults(TRAINING, **CHANGED), *STREAM), RIVALS)
