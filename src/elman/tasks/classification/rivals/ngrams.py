"""The baseline to beat: logistic regression on the n-grams of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from elman.recurrent.plan import array
from elman.tasks import storage
from elman.tasks.classification.answers import scored
from elman.tasks.classification.base import Prepared
from elman.tasks.classification.config import NgramClassifierConfig
from elman.tasks.classification.data import label_ids
from elman.tasks.classification.rivals.counted import CountedClassifier
from elman.tasks.plan import Plan, Wide
from elman.text.vocabulary import Vocabulary

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # of the L2 penalty, to choose from on dev data
USUAL = 1.0  # without dev data
STEPS = 500


class NgramClassifier(CountedClassifier):
    """Softmax of W x + b, where x_f is 1 for every n-gram f of 1 to `ngram_order` tokens in the text, else 0.

    The minimum of sum_i -log p(y_i | x_i) + l2 / 2 |W|^2, by L-BFGS in double precision (Wang and Manning 2012 for the
    features). With `several`, a sigmoid for each label. The penalty is the one with the best dev score, of equal
    ones the strongest.
    """

    kind = "ngrams"
    config = NgramClassifierConfig

    def _estimate(self, data: Prepared) -> None:
        model = self.settings.model
        assert self._labels is not None
        counts = Counter(gram for tokens in data.tokens for gram in _grams(tokens, model.ngram_order))
        self._features = Vocabulary.from_counts(counts)
        x = features(self._features, data.tokens, model.ngram_order)
        y = label_ids(self._labels, data.train, model.several)
        strengths = (model.l2,) if model.l2 is not None else STRENGTHS if data.dev is not None else (USUAL,)
        best = -1.0
        for strength in sorted(strengths, reverse=True):
            weight, bias = regression(x, y, len(self._labels), strength)
            score = 0.0
            if len(strengths) > 1:
                assert data.dev is not None and data.dev_tokens is not None
                self._weight, self._bias = weight, bias
                result = scored(self.labels, model.several, data.dev, self._probabilities(data.dev_tokens)).result()
                score = (result.micro_f1 if model.several else result.accuracy) or 0.0
            if score > best:
                best, kept = score, (weight, bias)
        self._weight, self._bias = kept

    def _how(self) -> str:
        return "logistic regression on the n-grams of a text"

    def _probabilities(self, texts: Sequence[Sequence[str]]) -> Tensor:
        scores = features(self._features, texts, self.settings.model.ngram_order) @ self._weight.double()
        scores += self._bias.double()
        return (scores.sigmoid() if self.settings.model.several else scores.softmax(-1)).float()

    @property
    def known_tokens(self) -> Container[str]:
        return self._features  # including n-grams of one token

    def _tables(self) -> Mapping[str, Vocabulary | None]:
        return {"ngrams": self._features}

    def plan(self) -> Plan:
        wide = Wide(self.settings.model.ngram_order, False, tuple(self._features.items), array(self._weight))
        bias = array(self._bias)
        return Plan(self.task, self.kind, self._text(), (), (), None, (), self._choice(), wide, bias)

    def _weights(self) -> Mapping[str, Tensor]:
        return {"weight": self._weight, "bias": self._bias}

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        self._features = storage.read_vocabulary(path / "ngrams.json")
        count = len(self.labels)
        tensors = self._read_weights(path, {"weight": (len(self._features), count), "bias": (count,)})
        self._weight, self._bias = tensors["weight"], tensors["bias"]


def _grams(tokens: Sequence[str], order: int) -> Iterator[str]:
    """Every n-gram of the tokens once. No two are spelled alike: tokens contain no blanks, or are one character."""
    grams = dict.fromkeys(" ".join(tokens[i : i + n]) for n in range(1, order + 1) for i in range(len(tokens) - n + 1))
    return iter(grams)


def features(vocabulary: Vocabulary, texts: Sequence[Sequence[str]], order: int) -> Tensor:
    """(texts, n-grams) float64, sparse by rows: 1 where the text has the n-gram."""
    columns: list[int] = []
    starts = [0]
    for tokens in texts:
        columns += sorted(vocabulary[gram] for gram in _grams(tokens, order) if gram in vocabulary)
        starts.append(len(columns))
    ones = torch.ones(len(columns), dtype=torch.float64)
    return _rows(torch.tensor(starts), torch.tensor(columns, dtype=torch.long), ones, (len(texts), len(vocabulary)))


def regression(x: Tensor, y: Tensor, labels: int, l2: float) -> tuple[Tensor, Tensor]:
    """weight (n-grams, labels), bias (labels,), float32, at the minimum.

    x: (texts, n-grams) sparse; y: (texts,) ids: softmax, or (texts, labels) of 0 and 1: a sigmoid for each."""
    count = x.shape[1]
    across = x.to_sparse_coo().t().coalesce().to_sparse_csr()
    several = y.dim() == 2
    wanted = y.double() if several else torch.nn.functional.one_hot(y, labels).double()
    both = torch.zeros(count + 1, labels, dtype=torch.float64, requires_grad=True)  # weight, and bias as the last row

    def objective() -> Tensor:
        with torch.no_grad():
            weight, bias = both[:count], both[count]
            scores = x @ weight + bias
            if several:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")
                wrong = scores.sigmoid() - wanted
            else:
                logs = scores.log_softmax(-1)
                loss = -(logs * wanted).sum()
                wrong = logs.exp() - wanted
            both.grad = torch.cat([across @ wrong + l2 * weight, wrong.sum(0, keepdim=True)]) / len(y)
            total: Tensor = (loss + l2 / 2 * weight.square().sum()) / len(y)
            return total

    optimizer = torch.optim.LBFGS(
        [both],
        max_iter=STEPS,
        history_size=10,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(objective)
    result = both.detach().float()
    return result[:count].clone(), result[count].clone()


def _rows(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(starts, columns, values, size=size, check_invariants=True)
