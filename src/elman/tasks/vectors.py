"""Word vectors supplied by the user, as the networks of several tasks read and store them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elman.errors import DataError
from elman.tasks import storage
from elman.text.vectors import read_vectors
from elman.text.vocabulary import Vocabulary

UNUSED = "<none>"
FILE = "vectors.safetensors"


def read_given(path: str | None) -> tuple[Vocabulary | None, Tensor | None]:
    """The words of a file and their vectors (words, dim); id 0 is UNUSED, whose vector is zero. None without a file.

    Raises DataError for an invalid file."""
    if path is None:
        return None, None
    words, table = read_vectors(path)
    if UNUSED in words:
        raise DataError(f"the word {UNUSED!r} is reserved for words without a vector; remove it", file=str(path))
    vectors = torch.cat([torch.zeros(1, table.shape[1]), torch.from_numpy(table)])
    return Vocabulary(words, unknown=UNUSED), vectors


def given_or_old(path: str | None, old: Any) -> tuple[Vocabulary | None, Tensor | None]:
    """The words and vectors of a file; without one those of the model to start from, or None without either."""
    if path is None and old is not None:
        return old.vocabularies.vectors, old.network.words.vectors
    return read_given(path)


def write_given(folder: Path, vectors: Tensor | None) -> None:
    """Into a model folder. Raises ResourceError."""
    if vectors is not None:
        storage.write_tensors(folder / FILE, {"vectors": vectors})


def stored_given(folder: Path) -> Tensor | None:
    """The vectors in a model folder, if it has any. Raises ModelError."""
    path = folder / FILE
    return storage.read_tensors(path).get("vectors") if path.exists() else None


def vector_ids(vectors: Vocabulary, words: Iterable[str]) -> list[int]:
    """The given vector of each word: of the word as is, else in lower case, else id 0, which is zero."""
    return [vectors[word] or vectors[word.lower()] for word in words]
