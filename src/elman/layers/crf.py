"""The linear-chain conditional random field.

Lafferty, McCallum and Pereira 2001, "Conditional random fields: probabilistic models for segmenting and labeling
sequence data".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elman.errors import UsageError
from elman.layers import decoding
from elman.layers.decoding import Constraint
from elman.layers.plan import BestPath
from elman.recurrent import Packed

# The score of a forbidden transition in training. Minus infinity would make the gradient of a label that no path
# reaches not-a-number (inf - inf). Here exp() gives exactly 0 against any legal path, and 10^8 of them in a row still
# fit into float32.
FORBIDDEN = -1e30

# A sum of weights below this may have lost terms to underflow; it is then computed again in log space. Float32 ends
# at 1e-38.
SAFE = 1e-20


class CRF(nn.Module):
    """p(y | rows) = exp(start[y_1] + sum rows[t, y_t] + sum transitions[y_t, y_t+1] + end[y_L]) / Z(rows), K labels.

    Parameters: `transitions` (K, K) [from, to], `start` (K,), `end` (K,). All begin at zero, where the CRF is a softmax
    at each row. A constraint is fixed: the same in training, in marginals and in decoding. It is not saved with the
    weights (it follows from the labels and their scheme at loading).

    Scores come as a `Packed` of rows (N, K). A sequence of length 0 has score 0 and log partition 0.
    Computation is in the dtype of the parameters, float32 or float64.
    """

    def __init__(self, size: int, constraint: Constraint | None = None) -> None:
        super().__init__()
        if size < 1:
            raise UsageError(f"expected at least 1 label for a CRF, found {size}")
        self.transitions = nn.Parameter(torch.zeros(size, size))
        self.start = nn.Parameter(torch.zeros(size))
        self.end = nn.Parameter(torch.zeros(size))
        self.constrained = constraint is not None
        legal = constraint or Constraint(
            torch.ones(size, dtype=torch.bool),
            torch.ones(size, size, dtype=torch.bool),
            torch.ones(size, dtype=torch.bool),
        )
        for mask, scores in zip(legal, (self.start, self.transitions, self.end), strict=True):
            if mask.shape != scores.shape or mask.dtype != torch.bool:
                raise UsageError(
                    f"expected a constraint of booleans of shape {tuple(scores.shape)} for {size} labels, "
                    f"found {mask.dtype} of shape {tuple(mask.shape)}"
                )
        self.legal_start: Tensor
        self.legal_transitions: Tensor
        self.legal_end: Tensor
        self.register_buffer("legal_start", legal.start, persistent=False)
        self.register_buffer("legal_transitions", legal.transitions, persistent=False)
        self.register_buffer("legal_end", legal.end, persistent=False)

    def extra_repr(self) -> str:
        return f"{len(self.start)}{', constrained' if self.constrained else ''}"

    def loss(self, scores: Packed, tags: Tensor) -> Tensor:
        """The negative log-likelihood of tags (N,), summed over the sequences: a scalar.

        Tags that the constraint forbids make it huge.
        """
        return (self.log_partition(scores) - self.score(scores, tags)).sum()

    def log_partition(self, scores: Packed) -> Tensor:
        """log Z of every sequence: (sequences,), in packed order."""
        return _log_partition(scores, *self._scores())

    def score(self, scores: Packed, tags: Tensor) -> Tensor:
        """The score of the path `tags` (N,) int64 in every sequence: (sequences,), in packed order."""
        rows, sizes = scores.data, decoding.check_layout(scores)
        if tags.shape != rows.shape[:1]:
            raise UsageError(f"expected tags of shape ({rows.shape[0]},), one per row, found {tuple(tags.shape)}")
        start, transitions, end = self._scores()
        rows = rows.to(start.dtype)
        total = rows.new_zeros(scores.sequences)
        if not sizes:
            return total + rows.sum()
        steps = torch.tensor(sizes, device=rows.device)
        step_of = torch.repeat_interleave(steps)  # (N,)
        place = torch.arange(len(step_of), device=rows.device)
        sequence = place - (steps.cumsum(0) - steps)[step_of]
        inner = place[sizes[0] :]
        before = inner - steps[step_of[inner] - 1]
        following = torch.cat([steps[1:], steps.new_zeros(1)])
        last = sequence >= following[step_of]
        own = rows.gather(1, tags.unsqueeze(1)).squeeze(1)
        links = transitions.flatten().index_select(0, tags[before] * len(start) + tags[inner])
        total = total.index_add(0, sequence, own).index_add(0, sequence[inner], links)
        total = total.index_add(0, sequence[: sizes[0]], start.index_select(0, tags[: sizes[0]]))
        return total.index_add(0, sequence[last], end.index_select(0, tags[last]))

    def marginals(self, scores: Packed, *, create_graph: bool = False) -> Tensor:
        """p(y_t = label | rows) of every row: (N, K), each row summing to 1. Exact.

        They are the gradient of log Z with respect to the rows. Works under `torch.no_grad` and `torch.inference_mode`.
        create_graph: with gradients of their own; the rows must require them.
        Raises UsageError when the constraint leaves a sequence without any path.
        """
        with torch.inference_mode(False), torch.enable_grad():
            # clone: autograd does not keep tensors created in inference mode
            fixed = [one if create_graph else one.detach().clone() for one in self._scores()]
            emissions = scores.data if create_graph else scores.data.detach().clone().requires_grad_()
            partition = _log_partition(scores.with_data(emissions), *fixed)
            if self.constrained and bool((partition < FORBIDDEN / 2).any()):
                raise UsageError(
                    "expected a legal sequence of labels for every sentence, found a sentence without one: "
                    "the constraint forbids every path with these labels"
                )
            return torch.autograd.grad(partition.sum(), emissions, create_graph=create_graph)[0].to(fixed[0].dtype)

    @torch.no_grad()
    def decode(self, scores: Packed) -> Tensor:
        """The labels (N,) of the best paths; see `decoding.viterbi`."""
        return decoding.viterbi(scores, self.transitions, self.start, self.end, self._constraint())

    def plan(self) -> BestPath:
        """How `decode` chooses, as data."""
        size, legal = len(self.start), self._constraint()
        return decoding.best_path(size, self.transitions, self.start, self.end, legal, softmax=False)

    def online(self) -> decoding.OnlineViterbi:
        """The same row by row; see `decoding.OnlineViterbi`."""
        scores = self.transitions, self.start, self.end
        return decoding.OnlineViterbi(len(self.start), *scores, self._constraint())

    @torch.no_grad()
    def nbest(self, scores: Packed, k: int) -> list[list[tuple[list[int], float]]]:
        """The k best paths of every sequence; see `decoding.nbest`. exp(score - log_partition) is a probability."""
        return decoding.nbest(scores, k, self.transitions, self.start, self.end, self._constraint())

    def _constraint(self) -> Constraint | None:
        return Constraint(self.legal_start, self.legal_transitions, self.legal_end) if self.constrained else None

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """start, transitions, end with the constraint applied."""
        if not self.constrained:
            return self.start, self.transitions, self.end
        return (
            self.start.masked_fill(~self.legal_start, FORBIDDEN),
            self.transitions.masked_fill(~self.legal_transitions, FORBIDDEN),
            self.end.masked_fill(~self.legal_end, FORBIDDEN),
        )


def _log_partition(scores: Packed, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """The forward recursion. alpha (running, K): log of the summed weight of all paths ending in each label here.

    alpha is kept near zero and what was subtracted is put aside in `level`, so that the gradient of a sentence of
    thousands of words is as precise in float32 as that of a short one.
    """
    sizes = decoding.check_layout(scores)
    rows, number_of_sequences = scores.data.to(start.dtype), scores.sequences
    if not sizes:
        return rows.new_zeros(number_of_sequences) + rows.sum()
    first, *rest = rows.split(sizes)
    alpha = start + first
    level = alpha.detach().new_zeros(sizes[0])
    highest = transitions.detach().max()
    transitions = transitions - highest
    weights = transitions.exp()
    finished: list[Tensor] = []
    for step in rest:
        running = step.shape[0]
        if running < alpha.shape[0]:
            alpha, done = alpha.split([running, alpha.shape[0] - running])
            finished.append(done)
        peak = alpha.detach().amax(1)
        level[:running] += peak + highest
        alpha = alpha - peak.unsqueeze(1)
        # One product instead of K exponentials for each pair of labels, seven times as fast at 50 labels.
        sums = alpha.exp() @ weights
        if bool(sums.detach().min() > SAFE):
            alpha = sums.log() + step
        else:
            alpha = torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + step
    finished.append(alpha)
    last = torch.cat(finished[::-1])  # back in packed order
    partition = torch.logsumexp(last + end, dim=1) + level
    return nn.functional.pad(partition, (0, number_of_sequences - sizes[0]))
