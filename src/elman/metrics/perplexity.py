"""Perplexity and bits per character, with the counts behind them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PerplexityResult:
    """How well a model predicts a text, and what was counted.

    log_likelihood: natural, summed over all tokens
    tokens:         everything that was predicted: words (or characters, or subwords) and the ends of lines
    ends:           how many of them are ends of lines
    unknown:        how many were scored as <unk>, because the model does not know them or the text contains it
    characters:     of the text itself, including one for each end of a line
    signature:      the settings of the score; perplexities are comparable only where these agree
    """

    log_likelihood: float
    tokens: int
    ends: int
    unknown: int
    characters: int
    signature: str

    @property
    def loss(self) -> float:
        """Nats per token."""
        return -self.log_likelihood / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of a token."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_character(self) -> float:
        """The text's bits over its characters: comparable between tokenizers, as perplexity is not."""
        return -self.log_likelihood / math.log(2) / self.characters if self.characters else math.nan

    def to_json(self) -> dict[str, Any]:
        """Everything, as numbers; an infinite or undefined one is null."""
        scores = {"perplexity": self.perplexity, "bits_per_character": self.bits_per_character, "loss": self.loss}
        finite = {name: value if math.isfinite(value) else None for name, value in scores.items()}
        counted = asdict(self)
        counted["unknown_tokens"] = counted.pop("unknown")
        return {**finite, **counted, "log_likelihood": _finite(self.log_likelihood)}

    def __str__(self) -> str:
        return (
            f"perplexity {self.perplexity:.2f}, {self.bits_per_character:.4f} bits per character, over "
            f"{self.tokens:,} tokens (including {self.ends:,} ends of lines and {self.unknown:,} unknown) and "
            f"{self.characters:,} characters"
        )


class PerplexityScore:
    """Adds up texts. tokenizer and context say how they were cut and what was carried from line to line."""

    def __init__(self, tokenizer: str = "space", context: str = "stream", *, version: str | None = None) -> None:
        from elman import __version__

        self.signature = (
            f"metric:perplexity|tokens:{tokenizer}|context:{context}|ends:counted|unknown:counted|"
            f"elman:{version or __version__}"
        )
        self._sums = [0.0, 0, 0, 0, 0]

    def add(self, log_likelihood: float, tokens: int, ends: int = 1, unknown: int = 0, characters: int = 0) -> None:
        """One text, or line of it: its summed natural log-probability and what it counts."""
        for i, value in enumerate((log_likelihood, tokens, ends, unknown, characters)):
            self._sums[i] += value

    def __add__(self, other: PerplexityScore) -> PerplexityScore:
        """Both parts together. Raises ValueError where they were scored differently."""
        if self.signature != other.signature:
            raise ValueError(f"expected parts scored in the same way, found {self.signature} and {other.signature}")
        both = PerplexityScore()
        both.signature = self.signature
        both._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        return both

    def result(self) -> PerplexityResult:
        """The score of all that was added."""
        log_likelihood, *rest = self._sums
        tokens, ends, unknown, characters = (int(count) for count in rest)
        return PerplexityResult(log_likelihood, tokens, ends, unknown, characters, self.signature)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
