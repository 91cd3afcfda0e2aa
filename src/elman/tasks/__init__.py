"""Tasks: data -> models -> scores. A new one is a folder here and a row in TASKS, with a row for each of its models."""

from __future__ import annotations

# The task's name in config.json and on the command line -> the model's name there (--model) -> its class, imported when
# used. The first model of a task is its recurrent network, the others are the rivals it has to beat.
TASKS: dict[str, dict[str, str]] = {
    "tag": {
        "network": "elman.tasks.tagging.tagger:Tagger",
        "majority": "elman.tasks.tagging.rivals:Majority",
        "hmm": "elman.tasks.tagging.rivals:HiddenMarkov",
        "trigram": "elman.tasks.tagging.rivals:Trigrams",
        "window": "elman.tasks.tagging.window:WindowTagger",
        "crf": "elman.tasks.tagging.rivals:FeatureCRF",
    },
    "classify": {
        "network": "elman.tasks.classification.classifier:Classifier",
        "majority": "elman.tasks.classification.majority:MajorityClassifier",
        "cbow": "elman.tasks.classification.classifier:Cbow",
        "ngrams": "elman.tasks.classification.ngrams:NgramClassifier",
    },
    "lm": {
        "network": "elman.tasks.language_model.model:LanguageModel",
        "ngram": "elman.tasks.language_model.rival:NGramModel",
    },
}
