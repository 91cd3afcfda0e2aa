"""Scores of sequences that were made from sequences: exact matches, edit distance, and BLEU and chrF by sacrebleu."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from elman.errors import UsageError
from elman.metrics.accuracy import Accuracy, share
from elman.metrics.edits import edit_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TextScore:
    """A score from 0 to 100 as sacrebleu gives it, and sacrebleu's signature."""

    score: float
    signature: str


@dataclass(frozen=True, slots=True)
class TransductionResult:
    """What a TransductionScore came to. Undefined values (a share of an empty total) are None."""

    items: Accuracy
    best: list[Accuracy]  # at k - 1: a right answer is among the first k, up to the most answers that an item has
    seen: Accuracy | None  # items whose source has only symbols of the training data; None if there is none
    unseen: Accuracy | None  # all others of which it is known
    edits: int  # between the first answer and the closest reference, summed
    symbols: int  # of the closest references
    mean_symbol_error_rate: float | None  # the mean over items of edits / symbols, of edits / 1 for no symbols
    bleu: TextScore | None  # None unless asked for, and without items
    chrf: TextScore | None
    signature: str

    @property
    def accuracy(self) -> float | None:
        """The share of items whose first answer is right."""
        return self.items.value

    @property
    def word_error_rate(self) -> float | None:
        """1 - accuracy: in pronunciation and inflection an item is a word."""
        return share(self.items.total - self.items.correct, self.items.total)

    @property
    def mean_edit_distance(self) -> float | None:
        """Edits per item."""
        return share(self.edits, self.items.total)

    @property
    def symbol_error_rate(self) -> float | None:
        """Edits per symbol of all items together."""
        return share(self.edits, self.symbols)

    def to_json(self) -> dict[str, Any]:
        return {
            "signature": self.signature,
            "accuracy": self.accuracy,
            "word_error_rate": self.word_error_rate,
            "symbol_error_rate": self.symbol_error_rate,
            "mean_symbol_error_rate": self.mean_symbol_error_rate,
            "mean_edit_distance": self.mean_edit_distance,
            "accuracy_at": {str(k): one.value for k, one in enumerate(self.best, 1)},
            "seen_accuracy": self.seen.value if self.seen else None,
            "unseen_accuracy": self.unseen.value if self.unseen else None,
            "bleu": asdict(self.bleu) if self.bleu else None,
            "chrf": asdict(self.chrf) if self.chrf else None,
            "counts": {
                "items": self.items.to_json(),
                "seen": self.seen.to_json() if self.seen else None,
                "unseen": self.unseen.to_json() if self.unseen else None,
                "edits": self.edits,
                "symbols": self.symbols,
            },
        }


class _Item(NamedTuple):
    rank: int  # of the first right answer, from 1; 0: none is right
    answers: int
    edits: int
    symbols: int
    unseen: bool | None
    texts: tuple[str, tuple[str, ...]] | None  # the first answer and the references, where BLEU and chrF are asked for


class TransductionScore:
    """Answers to sources, scored once by `result()`. `a + b` is the score of both test sets read as one.

    text_scores: also BLEU and chrF
    tokenized:   for these two, the texts are tokens with spaces between them: BLEU does not tokenize them again
    lowercase:   for these two, case is ignored
    version:     what the signature names; that of this package when not given

    Raises UsageError for text_scores where the package sacrebleu is missing.
    """

    def __init__(
        self,
        *,
        text_scores: bool = False,
        tokenized: bool = False,
        lowercase: bool = False,
        version: str | None = None,
    ) -> None:
        if text_scores:
            _package()  # a missing one is reported before the work
        self.text_scores, self.tokenized, self.lowercase, self.version = text_scores, tokenized, lowercase, version
        self._items: list[_Item] = []

    def add(
        self,
        answers: Sequence[Sequence[str]],
        references: Sequence[Sequence[str]],
        answer_texts: Sequence[str],
        reference_texts: Sequence[str],
        *,
        unseen: bool | None = None,
    ) -> None:
        """One item: its answers, the best first, and the references, any of which is right; as tokens and as texts.

        unseen: the source has a symbol that the training data lacks; None: not known

        An answer is right if it equals a reference as text or token by token. Its edits are those to the closest
        reference, none if it is right; of equally close ones the shortest, then the first, is the closest. Raises
        UsageError without an answer or a reference, and where tokens and texts are not equally many.
        """
        if any(isinstance(one, str) for one in (answers, references, answer_texts, reference_texts)):
            raise UsageError("expected lists of answers and references, found a string; put it in a list")
        if not answers or not references:
            count = f"{len(answers)} answers and {len(references)} references"
            raise UsageError(f"expected at least one answer and one reference, found {count}")
        if len(answers) != len(answer_texts) or len(references) != len(reference_texts):
            raise UsageError("expected a text for each answer and each reference, and no more")
        right, texts = [list(reference) for reference in references], set(reference_texts)
        given = zip(answers, answer_texts, strict=True)
        rank = next((k for k, (tokens, text) in enumerate(given, 1) if text in texts or list(tokens) in right), 0)
        best = list(answers[0])
        edits, symbols = min(
            (0 if text == answer_texts[0] else edit_distance(reference, best), len(reference))
            for reference, text in zip(right, reference_texts, strict=True)
        )
        kept = (answer_texts[0], tuple(reference_texts)) if self.text_scores else None
        self._items.append(_Item(rank, len(answers), edits, symbols, unseen, kept))

    def __add__(self, other: TransductionScore) -> TransductionScore:
        """Raises UsageError when the two have different settings."""
        if self.signature != other.signature:
            found = f"{self.signature} and {other.signature}"
            raise UsageError(f"expected two scores with the same settings; found {found}")
        total = TransductionScore(
            text_scores=self.text_scores, tokenized=self.tokenized, lowercase=self.lowercase, version=self.version
        )
        total._items = self._items + other._items
        return total

    @property
    def signature(self) -> str:
        """The settings that a score depends on, in one line to be printed next to it."""
        if self.version is None:
            from elman import __version__ as version  # late: the package may be importing this module right now
        else:
            version = self.version
        texts = ""
        if self.text_scores:
            texts = f"|texts:{'tokenized' if self.tokenized else 'plain'}|case:{'lc' if self.lowercase else 'mixed'}"
        return f"metric:transduction|references:any|closest:shortest{texts}|elman:{version}"

    def result(self) -> TransductionResult:
        items = self._items
        rates = [one.edits / max(one.symbols, 1) for one in items]
        answers, references = [], []
        for one in items:
            if one.texts is not None:
                answers.append(one.texts[0])
                references.append(one.texts[1])
        how = {"tokenized": self.tokenized, "lowercase": self.lowercase}
        return TransductionResult(
            items=_accuracy(items, 1),
            best=[_accuracy(items, k) for k in range(1, max((one.answers for one in items), default=0) + 1)],
            seen=_accuracy(seen, 1) if (seen := [one for one in items if one.unseen is False]) else None,
            unseen=_accuracy(unseen, 1) if (unseen := [one for one in items if one.unseen]) else None,
            edits=sum(one.edits for one in items),
            symbols=sum(one.symbols for one in items),
            mean_symbol_error_rate=math.fsum(rates) / len(rates) if rates else None,
            bleu=bleu(answers, references, **how) if answers else None,
            chrf=chrf(answers, references, **how) if answers else None,
            signature=self.signature,
        )

    def statistics(self) -> NDArray[Any]:
        """What intervals and tests of `significance` take: (items, 4) integers.

        A column that is 1 where the first answer is right, one of ones, the edits, and the symbols of the closest
        reference. `accuracy`, `symbol_error_rate` and `mean_edit_distance` score sums of them.
        """
        import numpy as np

        rows = [(one.rank == 1, 1, one.edits, one.symbols) for one in self._items]
        return np.array(rows, dtype=np.int64).reshape(len(rows), 4)


def accuracy(sums: NDArray[Any]) -> NDArray[Any]:
    """The accuracy of sums of `statistics`. sums: (samples, 4); returns (samples,)."""
    answer: NDArray[Any] = sums[:, 0] / sums[:, 1]
    return answer


def symbol_error_rate(sums: NDArray[Any]) -> NDArray[Any]:
    """Edits per symbol of sums of `statistics`. sums: (samples, 4); returns (samples,), NaN or infinity for none."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        answer: NDArray[Any] = sums[:, 2] / sums[:, 3]
    return answer


def mean_edit_distance(sums: NDArray[Any]) -> NDArray[Any]:
    """Edits per item of sums of `statistics`. sums: (samples, 4); returns (samples,)."""
    answer: NDArray[Any] = sums[:, 2] / sums[:, 1]
    return answer


def bleu(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, tokenized: bool = False, lowercase: bool = False
) -> TextScore:
    """BLEU of a corpus (Papineni et al. 2002; Post 2018), from 0 to 100.

    references: for each answer, one or more
    tokenized:  the texts are tokens with spaces between them, and are not tokenized again (tok:none); otherwise by
                sacrebleu's default (13a). Only scores with the same tokens can be compared; the signature says so.

    Raises UsageError without answers, for unequal numbers, and where the package sacrebleu is missing.
    """
    scorer = _package().BLEU(tokenize="none" if tokenized else "13a", lowercase=lowercase, force=tokenized)
    return _text_score(scorer, answers, references, tokenized)


def chrf(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, tokenized: bool = False, lowercase: bool = False
) -> TextScore:
    """chrF2 of a corpus (Popović 2015), from 0 to 100: an F-score of character n-grams; white space does not count.

    tokenized is only noted in the signature. The rest is as for `bleu`.
    """
    return _text_score(_package().CHRF(lowercase=lowercase), answers, references, tokenized)


def _text_score(scorer: Any, answers: Sequence[str], references: Sequence[Sequence[str]], tokenized: bool) -> TextScore:
    if not answers or len(answers) != len(references) or not all(references):
        raise UsageError(
            f"expected answers, and references for each; found {len(answers)} answers, {len(references)} lists of "
            f"references, {sum(not of for of in references)} of them empty"
        )
    most = max(map(len, references))
    # sacrebleu takes one corpus of first references, one of second ones, and so on; None: there is no such one.
    columns = [[of[k] if k < len(of) else None for of in references] for k in range(most)]
    score = scorer.corpus_score(list(answers), columns).score
    return TextScore(float(score), f"{scorer.get_signature()}{'|input:tokenized' if tokenized else ''}")


def _accuracy(items: Sequence[_Item], k: int) -> Accuracy:
    return Accuracy(sum(0 < one.rank <= k for one in items), len(items))


def _package() -> Any:
    try:
        import sacrebleu
    except ImportError as error:
        raise UsageError("BLEU and chrF need the package sacrebleu; install it: pip install 'elman[bleu]'") from error
    return sacrebleu
