"""Metrics: statistics per example first, added up, scored once. Plain lists in, plain numbers out; no torch.

METRICS maps the name of a metric to "module:Name" of its class, which is imported only when it is used. Such a class
has `add(...)` for one example, `+` for two parts of a test set, and `result()` with `to_json()` and a `signature` of
its settings.
"""

from __future__ import annotations

__all__ = ["METRICS"]

METRICS: dict[str, str] = {
    "classification": "elman.metrics.classification:ClassificationScore",
    "perplexity": "elman.metrics.perplexity:PerplexityScore",
    "tagging": "elman.metrics.tagging:TaggingScore",
    "transduction": "elman.metrics.transduction:TransductionScore",
}
