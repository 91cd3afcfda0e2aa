"""How answers are searched for, and what an answer is. Without torch, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from elman.errors import UsageError


def is_feature(symbol: str) -> bool:
    """Whether it is a feature as `Source.read` writes one."""
    return len(symbol) > 2 and symbol[0] == "<" and symbol[-1] == ">" and symbol not in ("</s>", "<unknown>")


class Source(NamedTuple):
    """What is read: its symbols, the features beside them, and its text."""

    symbols: list[str]
    features: tuple[str, ...]
    text: str

    def read(self) -> list[str]:
        """The features, as symbols of their own, then the symbols."""
        return [f"<{feature}>" for feature in self.features] + self.symbols


@dataclass(frozen=True)
class Answer:
    """One answer.

    score:    by which answers are ranked: the log-probability, divided as `SearchSettings` says
    log_probability: natural, of all symbols with the end
    complete: False if it was cut off at the maximum length
    alignment: for each symbol, the place that most attention was on as it was written, in what was read: features,
              symbols, the end; None if the model has none
    """

    text: str
    symbols: list[str]
    score: float
    log_probability: float
    complete: bool = True
    alignment: list[int] | None = None


@dataclass(frozen=True)
class SequencePrediction:
    """The answers to one source, best first; there is at least one."""

    answers: list[Answer]

    @property
    def text(self) -> str:
        """The best answer."""
        return self.answers[0].text


@dataclass(frozen=True)
class SearchSettings:
    """How answers are searched for.

    beam:           hypotheses kept per source; 1 is greedy. None: 5 for targets of words or subwords, otherwise 1
    nbest:          answers per source, at most `beam`
    length_penalty: answers are ranked by log p / n^length_penalty, where n counts their symbols and the end.
                    None: 1 for targets of words or subwords, otherwise 0
    min_length, max_length: of an answer, in symbols without the end. max_length None: twice the longest target of
                    the training data plus 10, or three times the source, whichever is larger
    temperature:    above 0, symbols are drawn at random from p^(1/temperature) instead of searched for
    seed:           of these draws

    Raises UsageError for values out of range."""

    beam: int | None = None
    nbest: int = 1
    length_penalty: float | None = None
    min_length: int = 0
    max_length: int | None = None
    temperature: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.beam is not None and self.beam < 1:
            raise UsageError(f"expected a beam of 1 or more, found {self.beam}")
        if self.nbest < 1 or (self.beam is not None and self.nbest > self.beam and not self.temperature):
            raise UsageError(
                f"expected nbest from 1 to the beam, found {self.nbest} and a beam of {self.beam}; widen the beam"
            )
        if self.length_penalty is not None and not 0 <= self.length_penalty <= 10:
            raise UsageError(f"expected a length penalty from 0 to 10, found {self.length_penalty}")
        if self.min_length < 0 or (self.max_length is not None and self.max_length < max(self.min_length, 1)):
            raise UsageError(f"expected 0 <= min_length <= max_length, found {self.min_length} and {self.max_length}")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"expected a temperature of 0 or more, found {self.temperature}")
        if self.temperature and self.beam not in (None, 1, self.nbest):
            raise UsageError("expected no beam with a temperature: answers are drawn, not searched for")

    def settled(self, long_symbols: bool) -> SearchSettings:
        """With the defaults filled in. long_symbols: the target's are words or subwords."""
        beam = self.beam
        if beam is None or self.temperature:
            beam = self.nbest if self.temperature else 5 if long_symbols else 1
            if self.nbest > beam:  # widening the beam could change the best answer
                raise UsageError(f"expected a beam of at least {self.nbest} for as many answers; give --beam (beam=)")
        penalty = self.length_penalty
        if penalty is None:
            penalty = 1.0 if long_symbols else 0.0
        return SearchSettings(beam, self.nbest, penalty, self.min_length, self.max_length, self.temperature, self.seed)
