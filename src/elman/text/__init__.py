"""Text in and out: formats, vocabularies, batches. Reading needs no torch."""

from elman.text.formats import FORMATS, get_format, guess_format, iter_read, read
from elman.text.sentence import Sentence
from elman.text.skipping import Skipped

__all__ = ["FORMATS", "Sentence", "Skipped", "get_format", "guess_format", "iter_read", "read"]
