"""Tasks: data -> models -> scores. A new one is a folder here and a row in TASKS, with a row for each of its models."""

from __future__ import annotations

# The task's name in config.json and on the command line -> the model's name there (--model) -> its class, imported when
# used. The first model of a task is its recurrent network, the others are the rivals it has to beat.
TASKS: dict[str, dict[str, str]] = {
    "tag": {
        "network": "elman.tasks.tagging.network_model:Tagger",
        "majority": "elman.tasks.tagging.rivals.majority:MajorityTagger",
        "hmm": "elman.tasks.tagging.rivals.hmm:HiddenMarkov",
        "trigram": "elman.tasks.tagging.rivals.trigrams:TrigramTagger",
        "window": "elman.tasks.tagging.rivals.window:WindowTagger",
        "crf": "elman.tasks.tagging.rivals.crf:FeatureCRF",
    },
    "classify": {
        "network": "elman.tasks.classification.network_model:Classifier",
        "majority": "elman.tasks.classification.rivals.majority:MajorityClassifier",
        "cbow": "elman.tasks.classification.rivals.cbow:Cbow",
        "ngrams": "elman.tasks.classification.rivals.ngrams:NgramClassifier",
    },
    "lm": {
        "network": "elman.tasks.language_model.network_model:LanguageModel",
        "ngram": "elman.tasks.language_model.rivals.ngram_model:NGramModel",
    },
    "seq2seq": {
        "network": "elman.tasks.seq2seq.network_model:Seq2Seq",
        "copy": "elman.tasks.seq2seq.rivals.copying:Copying",
        "memory": "elman.tasks.seq2seq.rivals.memorising:Memorising",
        "rules": "elman.tasks.seq2seq.rivals.rules:AffixRules",
        "joint": "elman.tasks.seq2seq.rivals.joint:JointNgram",
    },
}
