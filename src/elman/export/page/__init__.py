"""`elman export DIR --to page`: a model as one HTML file that answers what is typed into it, without a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elman.errors import ResourceError
from elman.export.page.bundle import Bundle, module
from elman.export.page.document import document
from elman.export.page.wording import first_text, title_of


def write(
    model: Any, path: Path, *, weights: str = "bfloat16", text: str | None = None, title: str | None = None
) -> Mapping[str, Any]:
    """Write the page; a path that ends in .mjs gets the model alone, as a JavaScript module.

    weights: float32, bfloat16 or int8; text: what the page shows at first; title: its heading, or the file's name
    Raises UsageError for what the page cannot express, ResourceError where it cannot be written."""
    plan = model.plan()
    bundle = Bundle(plan, weights)
    bytes_ = base64.b64encode(bundle.payload.bytes).decode("ascii")
    if path.suffix == ".mjs":
        made = module(bundle, bytes_)
    else:
        shown = first_text(plan) if text is None else text
        made = document(plan, bundle, bytes_, title or title_of(path), shown)
    data = made.encode("utf-8")
    try:
        path.write_bytes(data)
    except OSError as problem:
        raise ResourceError(f"cannot write {path}: {problem.strerror or problem}; choose another file") from problem
    return {"files": {str(path): len(data)}, "weights": weights}
