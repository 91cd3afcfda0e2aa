"""The best sequence, and the k best sequences, of a chain of scores.

A path through a sequence of length L scores `start[y_1] + sum rows[t, y_t] + sum transitions[y_t, y_t+1] + end[y_L]`.
Without transitions this is a softmax head (give log-probabilities), with them a linear-chain CRF; a `Constraint`
forbids paths of either.

Scores come as a `Packed` of rows (N, K).

All of this runs in float64 on the CPU and adds in the same order for any batch: a path does not depend on what a
sentence was batched with, float32 scores of any size cannot overflow, and forbidden paths are worth exactly minus
infinity, so that no score can make up for one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman import schemes
from elman.errors import UsageError
from elman.layers.plan import BestPath
from elman.recurrent import Packed

Rule = Callable[[str | None, str | None, str], bool]

# Elements of the (from, sequence, to) table of one step: small enough to stay in a core's cache (measured, twice as
# fast at 60 labels).
TILE = 2**16


class Constraint(NamedTuple):
    """What may begin, follow and end, for K labels. All boolean, True where legal."""

    start: Tensor  # (K,)
    transitions: Tensor  # (K, K) [from, to]
    end: Tensor  # (K,)


def constraint(labels: Sequence[str], scheme: str, allowed: Rule = schemes.allowed) -> Constraint:
    """The constraint that a rule puts on these labels, in their order.

    `allowed(previous, next, scheme)` says whether `next` may follow `previous`; None is the edge of the sentence.
    """
    return Constraint(
        torch.tensor([allowed(None, label, scheme) for label in labels], dtype=torch.bool),
        torch.tensor([[allowed(before, label, scheme) for label in labels] for before in labels], dtype=torch.bool),
        torch.tensor([allowed(label, None, scheme) for label in labels], dtype=torch.bool),
    )


def viterbi(
    scores: Packed,
    transitions: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
    allowed: Constraint | None = None,
) -> Tensor:
    """The best label of every row on the best path of its sequence: rows (N, K) -> (N,) int64, on their device.

    Between equal paths the lowest label wins, looking from the last row to the first.
    Raises UsageError when scores are not finite, or when the constraint leaves a sequence without any path.
    """
    rows, sizes = scores.data, check_layout(scores)
    chain = _chain(rows, transitions, start, end, allowed)
    if transitions is None and start is None and end is None and allowed is None:
        return chain.rows.argmax(1).to(rows.device)  # every row on its own
    alphas = _best_scores(chain, sizes).numpy()
    # Back from the end. numpy: many small operations, at a third of the cost of torch's.
    into, final = np.ascontiguousarray(chain.transitions.numpy().T), chain.end.numpy()  # (to, from), (K,)
    tags = np.empty(len(alphas), dtype=np.int64)
    following, stop = tags[:0], len(tags)  # the tags of the next step; where the rows of this one stop
    for length in range(len(sizes), 0, -1):
        size, running = sizes[length - 1], len(following)
        alpha, chosen = alphas[stop - size : stop], tags[stop - size : stop]
        if running:
            chosen[:running] = (alpha[:running] + into[following]).argmax(1)
        if running < size:
            last = alpha[running:] + final
            _refuse_dead_ends(last, length)
            chosen[running:] = last.argmax(1)
        following, stop = chosen, stop - size
    return torch.from_numpy(tags).to(rows.device)


def best_path(
    labels: int,
    transitions: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
    allowed: Constraint | None = None,
    *,
    softmax: bool,
) -> BestPath:
    """How `viterbi` chooses, as data. softmax: the rows are log-probabilities, made from scores."""
    chain = _chain(torch.zeros(1, labels), transitions, start, end, allowed)
    return BestPath(chain.start.numpy(), chain.transitions.numpy(), chain.end.numpy(), softmax)


class OnlineViterbi:
    """The path of `viterbi`, row by row: a label is given as soon as no later row can change it, at the end of the
    sequence at the latest (Šrámek, Brejová and Vinař 2007, On-line Viterbi algorithm for analysis of long biological
    sequences). Arguments as for `viterbi`, for `labels` labels.

    alpha: (K,) the score of the best path to each label; None before the first row
    paths: (n, K) its labels at the rows that are still open
    """

    def __init__(
        self,
        labels: int,
        transitions: Tensor | None = None,
        start: Tensor | None = None,
        end: Tensor | None = None,
        allowed: Constraint | None = None,
    ) -> None:
        chain = _chain(torch.zeros(0, labels), transitions, start, end, allowed)
        self._transitions, self._start, self._end = (part.numpy() for part in chain[1:])
        self._labels, self._read = np.arange(labels), 0
        self.alpha: np.ndarray | None = None
        self.paths = np.zeros((0, labels), np.int64)

    def fresh(self) -> OnlineViterbi:
        """Another one for the same chain, at its start."""
        other = copy(self)
        other.alpha, other.paths, other._read = None, self.paths[:0], 0
        return other

    def push(self, row: np.ndarray) -> list[int]:
        """The labels that row (K,) makes certain, in order. Raises UsageError for scores that are not finite."""
        row = row.astype(np.float64)
        if not np.isfinite(row).all():
            raise UsageError("expected finite scores to decode, found infinity or not-a-number: did training diverge?")
        self._read += 1
        if self.alpha is None:
            self.alpha, self.paths = self._start + row, self._labels[None]
        else:
            ways = self.alpha[:, None] + self._transitions  # (from, to)
            self.alpha = ways.max(0) + row
            self.paths = np.concatenate([self.paths[:, ways.argmax(0)], self._labels[None]])
        live = self.alpha > -np.inf
        if not live.any():
            _refuse_dead_ends(self.alpha[None], self._read)
        open_paths = self.paths[:, live]
        agree = (open_paths == open_paths[:, :1]).all(1)
        count = len(agree) if agree.all() else int(agree.argmin())
        certain: list[int] = open_paths[:count, 0].tolist()
        self.paths = self.paths[count:]
        return certain

    def finish(self) -> list[int]:
        """The labels of all open rows; then it is at its start again."""
        if self.alpha is None:
            return []
        last = self.alpha + self._end
        _refuse_dead_ends(last[None], self._read)
        rest: list[int] = self.paths[:, int(last.argmax())].tolist()
        self.alpha, self.paths, self._read = None, self.paths[:0], 0
        return rest


def nbest(
    scores: Packed,
    k: int,
    transitions: Tensor | None = None,
    start: Tensor | None = None,
    end: Tensor | None = None,
    allowed: Constraint | None = None,
) -> list[list[tuple[list[int], float]]]:
    """The k best paths of every sequence with their scores, best first; the first is that of `viterbi`.

    Exact. Fewer than k where there are fewer legal paths (none at all: an empty list). A sequence of length 0 has one
    path, of score 0. Sequences come in packed order. Equal scores keep a fixed order.
    """
    if k < 1:
        raise UsageError(f"expected k of at least 1, found {k}: ask for one path or more")
    sizes = check_layout(scores)
    chain = _chain(scores.data, transitions, start, end, allowed)
    rows = chain.rows.numpy()
    alphas = _best_scores(chain, sizes).numpy()
    into, final = np.ascontiguousarray(chain.transitions.numpy().T), chain.end.numpy()
    offsets = np.cumsum([0, *sizes[:-1]]) if sizes else np.zeros(0, dtype=np.int64)
    lengths = np.asarray(sizes, dtype=np.int64)
    paths: list[list[tuple[list[int], float]]] = []
    for sequence in range(scores.sequences):
        own = offsets[: int((lengths > sequence).sum())] + sequence
        paths.append(_best_of_one(rows[own], alphas[own], into, final, k) if len(own) else [([], 0.0)])
    return paths


def check_layout(scores: Packed) -> list[int]:
    """The batch sizes, once checked to fit rows (N, K). Raises UsageError otherwise."""
    rows, sizes, number_of_sequences = scores.data, scores.batch_sizes, scores.sequences
    if rows.dim() != 2 or rows.shape[0] != sum(sizes):
        raise UsageError(
            f"expected rows of shape ({sum(sizes)}, labels) for these batch sizes, found {tuple(rows.shape)}"
        )
    falling = all(left >= right for left, right in pairwise(sizes))
    if sizes and (not falling or sizes[-1] < 1 or sizes[0] > number_of_sequences):
        raise UsageError(
            f"expected batch sizes that fall from at most {number_of_sequences} to at least 1 "
            f"(packed rows, longest sequence first), found {sizes[:10]}{' ...' if len(sizes) > 10 else ''}"
        )
    return sizes


class _Chain(NamedTuple):
    """The scores of a chain in float64 on the CPU, the constraint applied as minus infinity."""

    rows: Tensor
    transitions: Tensor
    start: Tensor
    end: Tensor


def _chain(
    rows: Tensor, transitions: Tensor | None, start: Tensor | None, end: Tensor | None, allowed: Constraint | None
) -> _Chain:
    labels = rows.shape[1]

    def plain(scores: Tensor | None, shape: tuple[int, ...], legal: Tensor | None) -> Tensor:
        result = torch.zeros(shape, dtype=torch.float64) if scores is None else scores.detach().cpu().double()
        for given in (result, legal):
            if given is not None and given.shape != shape:
                raise UsageError(f"expected scores of shape {shape} for {labels} labels, found {tuple(given.shape)}")
        if not torch.isfinite(result).all():
            raise UsageError("expected finite scores to decode, found infinity or not-a-number: did training diverge?")
        return result if legal is None else result.masked_fill(~legal.cpu(), -torch.inf)

    return _Chain(
        plain(rows, tuple(rows.shape), None),
        plain(transitions, (labels, labels), None if allowed is None else allowed.transitions),
        plain(start, (labels,), None if allowed is None else allowed.start),
        plain(end, (labels,), None if allowed is None else allowed.end),
    )


def _best_scores(chain: _Chain, sizes: list[int]) -> Tensor:
    """The score of the best path that ends at a row with a label: (N, K), packed as the rows."""
    labels = chain.rows.shape[1]
    tile = max(1, TILE // (labels * labels))
    leaving = chain.transitions.unsqueeze(1)  # (from, 1, to)
    alphas = torch.empty_like(chain.rows)
    steps, outputs = chain.rows.split(sizes), alphas.split(sizes)
    for step, out in zip(steps[:1], outputs, strict=False):
        torch.add(chain.start, step, out=out)
    for alpha, step, out in zip(outputs, steps[1:], outputs[1:], strict=False):
        for some, best in zip(alpha[: len(out)].split(tile), out.split(tile), strict=True):
            torch.amax(some.T.unsqueeze(2) + leaving, dim=0, out=best)
        out.add_(step)
    return alphas


def _refuse_dead_ends(last: np.ndarray, length: int) -> None:
    """`last` (finished, K): scores of whole paths. A row of minus infinity is a sequence without a legal path."""
    if (last.max(1) == -np.inf).any():
        raise UsageError(
            f"expected a legal sequence of labels for every sentence, found none for one of {length} words: "
            "the constraint forbids every path with these labels; decode without it"
        )


def _best_of_one(
    rows: np.ndarray, alphas: np.ndarray, into: np.ndarray, end: np.ndarray, k: int
) -> list[tuple[list[int], float]]:
    """The k best paths of one sequence of length L >= 1; rows and alphas (L, K), into (K, K) [to, from].

    Lawler's partition (1972): all paths but a path P already taken fall into classes "as P after position j, another
    label at j", and `alphas` gives the best of each class without a search. Each path taken costs one table (L, K).
    """
    length, labels = rows.shape
    whole = alphas[-1] + end
    best = int(whole.argmax())
    # Candidates: (-score, serial number for a fixed order of equals, position, label there, the path it leaves)
    nothing = np.zeros(length, dtype=np.int64)
    heap: list[tuple[float, int, int, int, np.ndarray]] = []
    if whole[best] > -np.inf:
        heap.append((-float(whole[best]), 0, length - 1, best, nothing))
        # The other labels of the last position are candidates from the beginning; all others come from a path taken.
        rest = [label for label in range(labels) if label != best and whole[label] > -np.inf]
        heap += [(-float(whole[label]), 1 + label, length - 1, label, nothing) for label in rest]
        heapq.heapify(heap)
    serial = labels + 1
    paths: list[tuple[list[int], float]] = []
    while heap and len(paths) < k:
        negative, _, position, label, parent = heapq.heappop(heap)
        path = parent.copy()
        path[position] = label
        for t in range(position - 1, -1, -1):
            path[t] = (alphas[t] + into[path[t + 1]]).argmax()
        paths.append((path.tolist(), -negative))
        wanted = k - len(paths)
        if position == 0 or wanted == 0:
            continue
        links = into[path[1:]]  # (L - 1, from)
        at = np.arange(length - 1)
        own = rows[at + 1, path[1:]]
        own[:-1] += links[at[1:], path[1:-1]]
        own[-1] += end[path[-1]]
        tails = np.cumsum(own[::-1])[::-1]  # tails[j]: the whole score of path j+1 .. L, without the link into j+1
        others = alphas[:position] + links[:position] + tails[:position, None]
        others[at[:position], path[:position]] = -np.inf
        flat = others.ravel()
        if wanted < flat.size:
            least = np.partition(flat, flat.size - wanted)[flat.size - wanted]
            chosen = np.flatnonzero((flat >= least) & (flat > -np.inf))
        else:
            chosen = np.flatnonzero(flat > -np.inf)
        for one in chosen[np.argsort(-flat[chosen], kind="stable")][:wanted].tolist():
            heapq.heappush(heap, (-float(flat[one]), serial, one // labels, one % labels, path))
            serial += 1
    return paths
