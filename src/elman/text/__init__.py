"""Text in and out: formats, vocabularies, batches. Reading needs no torch."""

from elman.text.formats import FORMATS, get_format, guess_format, iter_read, read
from elman.text.sentence import Sentence

__all__ = ["FORMATS", "Sentence", "get_format", "guess_format", "iter_read", "read"]
