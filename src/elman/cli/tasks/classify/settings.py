"""The settings of classifiers."""

from __future__ import annotations

from elman.cli.settings import CELL, ENCODING, INIT, OUT, SKIP_BROKEN, TRAINING, Setting, Table, with_defaults

# The keys of elman.text.labelled.EXAMPLE_FORMATS, which help must not wait for; a test holds the two together.
FORMATS = ("csv", "tsv", "jsonl", "label", "fasttext", "text")
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
    "majority": (*TEXTS, SEED),
    "cbow": (*TEXTS, *WORDS, *TRAINED),
    "ngrams": (
        *TEXTS,
        Setting("ngram_order", "--ngram-order", "int", 2, "n-grams of one to so many tokens"),
        Setting("l2", "--l2", "float", None, "strength of the penalty (default: chosen on dev data)"),
        SEED,
    ),
}
TABLE = Table(DATA, NETWORK, TRAINED, RIVALS)
