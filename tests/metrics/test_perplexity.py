"""Perplexity by its definition, and what it says it counted."""

from __future__ import annotations

import json
import math

import pytest

from elman.metrics.perplexity import PerplexityScore


def test_by_the_definition() -> None:
    one, other = PerplexityScore("space", "lines", version="9"), PerplexityScore("space", "lines", version="9")
    one.add(math.log(0.5) + math.log(0.25), 2, 1, 1, 4)
    other.add(math.log(0.125), 1, 1, 0, 2)
    result = (one + other).result()
    assert math.isclose(result.perplexity, (0.5 * 0.25 * 0.125) ** (-1 / 3))
    assert math.isclose(result.bits_per_character, 6 / 6) and math.isclose(result.loss, math.log(result.perplexity))
    assert (result.tokens, result.ends, result.unknown, result.characters) == (3, 2, 1, 6)
    assert result.signature == "metric:perplexity|tokens:space|context:lines|ends:counted|unknown:counted|elman:9"
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["tokens"] == 3
    assert "3 tokens (including 2 ends of lines and 1 unknown)" in str(result)


def test_the_impossible_and_the_empty() -> None:
    never = PerplexityScore()
    never.add(-math.inf, 2)
    assert never.result().perplexity == math.inf
    found = json.loads(json.dumps(never.result().to_json(), allow_nan=False))
    assert found["perplexity"] is None and found["log_likelihood"] is None
    assert math.isnan(PerplexityScore().result().loss)
    with pytest.raises(ValueError, match="scored in the same way"):
        never + PerplexityScore("words")
