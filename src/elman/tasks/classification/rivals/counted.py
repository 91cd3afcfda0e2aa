"""What the classifiers that are estimated in one go share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from elman.errors import ModelError
from elman.tasks import storage
from elman.tasks.classification.base import ClassificationModel, Prepared
from elman.tasks.model import CountedModel
from elman.text.example import Example

Examples = Iterable[Example]


class CountedClassifier(ClassificationModel, CountedModel[Examples]):
    """A classifier that is estimated in one go."""

    def _prepare(
        self, train: Examples, dev: Examples | float | None, test: Examples | None
    ) -> tuple[Prepared, dict[str, Any]]:
        data = self._parts(train, dev, test, self.settings.model.seed)
        return data, {"dev": data.dev, "test": data.test}

    def _read_weights(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """The tensors in a model folder. Raises ModelError unless they are those of these names and shapes."""
        path = path / "model.safetensors"
        tensors = storage.read_tensors(path)
        stored = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if stored != shapes or not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ModelError(f"{path}: expected finite tensors {dict(shapes)}, found {stored}; the files do not match")
        return tensors
