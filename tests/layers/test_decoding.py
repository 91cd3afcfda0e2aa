"""Best and n-best paths against an enumeration of all paths, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elman import schemes
from elman.errors import UsageError
from elman.layers import decoding
from elman.layers.decoding import Constraint, constraint, nbest, viterbi
from elman.recurrent import Packed


class Chain(NamedTuple):
    """What a call of the decoders is given."""

    rows: Tensor
    lengths: list[int]
    transitions: Tensor | None
    start: Tensor | None
    end: Tensor | None
    allowed: Constraint | None

    def scores(self) -> dict[str, Tensor | Constraint | None]:
        return {name: getattr(self, name) for name in ("transitions", "start", "end", "allowed")}


def layout(lengths: Sequence[int]) -> list[int]:
    """Batch sizes of lengths that fall."""
    return [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]


def packed(rows: torch.Tensor, sizes: Sequence[int], sequences: int) -> Packed:
    """Rows of sequences in the order of their lengths."""
    lengths = [sum(size > i for size in sizes) for i in range(sequences)]
    return Packed(rows, list(sizes), lengths, torch.arange(sequences))


def places(lengths: Sequence[int]) -> list[list[int]]:
    """The rows of every sequence in the packed batch."""
    sizes = layout(lengths)
    return [[sum(sizes[:t]) + index for t in range(length)] for index, length in enumerate(lengths)]


def is_legal(allowed: Constraint | None, path: Sequence[int]) -> bool:
    if allowed is None or not path:
        return True
    inner = all(allowed.transitions[before, after] for before, after in pairwise(path))
    return bool(allowed.start[path[0]] and allowed.end[path[-1]]) and inner


def ranking(chain: Chain, own: list[int]) -> list[tuple[float, tuple[int, ...]]]:
    """All legal paths of one sequence, best first; between equals the lowest label from the last row back."""
    found = []
    for path in product(range(chain.rows.shape[1]), repeat=len(own)):
        if not is_legal(chain.allowed, path):
            continue
        score = sum(float(chain.rows[row, label]) for row, label in zip(own, path, strict=True))
        if path and chain.start is not None:
            score += float(chain.start[path[0]])
        if path and chain.end is not None:
            score += float(chain.end[path[-1]])
        if chain.transitions is not None:
            score += sum(float(chain.transitions[before, after]) for before, after in pairwise(path))
        found.append((score, path))
    return sorted(found, key=lambda item: (-item[0], item[1][::-1]))


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    lengths = sorted(draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)), reverse=True)
    size = draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    whole = draw(st.booleans())  # small whole numbers: many paths of equal score

    def scores(*shape: int) -> Tensor:
        if whole:
            return torch.randint(-1, 2, shape, generator=generator).double()
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    rows = scores(sum(lengths), size)
    optional = [scores(*shape) if draw(st.booleans()) else None for shape in ((size, size), (size,), (size,))]
    allowed = None
    if draw(st.booleans()):
        allowed = Constraint(
            *(torch.rand(shape, generator=generator) > 0.33 for shape in ((size,), (size, size), (size,)))
        )
    return Chain(rows, lengths, *optional, allowed)


@settings(max_examples=150, deadline=None)
@given(chains())
def test_the_best_path_is_the_best_of_all(chain: Chain) -> None:
    ranked = [ranking(chain, own) for own in places(chain.lengths)]
    call = (chain.rows, layout(chain.lengths), len(chain.lengths))
    if not all(ranked):
        with pytest.raises(UsageError, match="expected a legal sequence"):
            viterbi(packed(*call), **chain.scores())
        return
    found = viterbi(packed(*call), **chain.scores())
    assert found.dtype == torch.int64 and found.shape == chain.rows.shape[:1]
    for own, paths in zip(places(chain.lengths), ranked, strict=True):
        assert tuple(found[own].tolist()) == paths[0][1]


@settings(max_examples=150, deadline=None)
@given(chains(), st.sampled_from([1, 2, 3, 7, 2000]))
def test_the_k_best_paths_are_the_k_best_of_all(chain: Chain, k: int) -> None:
    found = nbest(packed(chain.rows, layout(chain.lengths), len(chain.lengths)), k, **chain.scores())
    assert len(found) == len(chain.lengths)
    for own, ours in zip(places(chain.lengths), found, strict=True):
        ranked = ranking(chain, own)
        value = {path: score for score, path in ranked}
        paths = [tuple(path) for path, _ in ours]
        assert len(paths) == len(set(paths)) == min(k, len(ranked))
        assert [score for _, score in ours] == pytest.approx([score for score, _ in ranked[:k]], abs=1e-10)
        for path, score in ours:
            assert score == pytest.approx(value[tuple(path)], abs=1e-10)  # legal, and its own score
        if paths:
            assert paths[0] == ranked[0][1]


@settings(max_examples=50, deadline=None)
@given(chains())
def test_a_sequence_is_decoded_alone_as_in_a_batch(chain: Chain) -> None:
    together = nbest(packed(chain.rows, layout(chain.lengths), len(chain.lengths)), 5, **chain.scores())
    for own, ours in zip(places(chain.lengths), together, strict=True):
        assert nbest(packed(chain.rows[own], [1] * len(own), 1), 5, **chain.scores()) == [ours]
        if ours:
            alone = viterbi(packed(chain.rows[own], [1] * len(own), 1), **chain.scores())
            assert alone.tolist() == ours[0][0]


def test_a_large_batch_is_decoded_in_tiles_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    lengths = sorted(torch.randint(0, 30, (50,), generator=generator).tolist(), reverse=True)
    rows = torch.randn(sum(lengths), 17, generator=generator)
    transitions = torch.randn(17, 17, generator=generator)
    whole = viterbi(packed(rows, layout(lengths), 50), transitions)
    monkeypatch.setattr(decoding, "TILE", 7 * 17 * 17)
    assert torch.equal(viterbi(packed(rows, layout(lengths), 50), transitions), whole)
    for own in places(lengths):
        assert torch.equal(viterbi(packed(rows[own], [1] * len(own), 1), transitions), whole[own])


def test_without_transitions_every_row_is_on_its_own() -> None:
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(2))
    assert torch.equal(viterbi(packed(rows, [8, 7, 5], 8)), rows.argmax(1))


def test_equal_paths_give_the_lowest_labels() -> None:
    rows = torch.zeros(3, 4)
    assert viterbi(packed(rows, [1, 1, 1], 1), torch.zeros(4, 4)).tolist() == [0, 0, 0]
    assert viterbi(packed(rows, [1, 1, 1], 1)).tolist() == [0, 0, 0]


LABELS = ["I-X", "O", "B-Y", "I-Y", "B-X", "E-X", "S-X", "E-Y", "S-Y"]


@pytest.mark.parametrize("scheme", ["iob2", "bioes", "iob1", "io"])
@pytest.mark.parametrize("scale", [1.0, 1e30, 3e38])
def test_no_score_buys_a_forbidden_path(scheme: str, scale: float) -> None:
    labels = [label for label in LABELS if label[0] in schemes.SCHEMES[scheme].letters]
    allowed = constraint(labels, scheme)
    generator = torch.Generator().manual_seed(3)
    lengths = [200, 31, 5, 2, 1, 1, 0]
    for kind in (torch.randn, torch.rand):
        rows = (kind((sum(lengths), len(labels)), generator=generator) * scale).clamp(-3.4e38, 3.4e38)
        found = viterbi(packed(rows, layout(lengths), len(lengths)), allowed=allowed)
        ranked = nbest(packed(rows, layout(lengths), len(lengths)), 4, allowed=allowed)
        for own, paths in zip(places(lengths), ranked, strict=True):
            for path in [found[own].tolist(), *(path for path, _ in paths)]:
                assert schemes.violations([labels[label] for label in path], scheme) == []


def test_the_forbidden_path_that_each_row_wants_is_not_taken() -> None:
    labels = ["O", "B-X", "I-X"]
    rows = torch.tensor([[0.0, -1.0, 1e6], [0.0, -1.0, 1e6], [0.0, -1.0, 1e6]])
    assert viterbi(packed(rows, [1, 1, 1], 1)).tolist() == [2, 2, 2]
    assert viterbi(packed(rows, [1, 1, 1], 1), allowed=constraint(labels, "iob2")).tolist() == [1, 2, 2]


def test_a_constraint_follows_the_rule_and_its_edges() -> None:
    def rule(previous: str | None, next: str | None, scheme: str) -> bool:
        assert scheme == "mine"
        return (previous, next) in {(None, "a"), ("a", "b"), ("b", "b"), ("b", None)}

    start, transitions, end = constraint(["a", "b"], "mine", rule)
    assert start.tolist() == [True, False]
    assert transitions.tolist() == [[False, True], [False, True]]
    assert end.tolist() == [False, True]
    assert start.dtype == transitions.dtype == end.dtype == torch.bool


def test_five_best_of_a_long_sentence_are_those_of_a_table_of_k() -> None:
    """Another exact algorithm: the k best of every label at every step."""
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(60, 6, generator=generator, dtype=torch.float64)
    transitions = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    table = [[(float(rows[0, label]), [label])] for label in range(6)]
    for row in rows[1:]:
        table = [
            sorted(
                (score + float(transitions[path[-1], label]) + float(row[label]), [*path, label])
                for cell in table
                for score, path in cell
            )[-5:]
            for label in range(6)
        ]
    expected = sorted((item for cell in table for item in cell), reverse=True)[:5]
    (found,) = nbest(packed(rows, [1] * 60, 1), 5, transitions)
    assert [path for path, _ in found] == [path for _, path in expected]
    assert [score for _, score in found] == pytest.approx([score for score, _ in expected])


def test_calls_that_cannot_be_served_are_usage_errors() -> None:
    rows = torch.zeros(3, 2)
    for bad in (torch.inf, torch.nan, -torch.inf):
        with pytest.raises(UsageError, match="finite"):
            viterbi(packed(rows + bad, [2, 1], 2))
    with pytest.raises(UsageError, match="k of at least 1"):
        nbest(packed(rows, [2, 1], 2), 0)
    with pytest.raises(UsageError, match="expected rows"):
        viterbi(packed(rows, [2, 2], 2))
    with pytest.raises(UsageError, match="expected scores of shape"):
        viterbi(packed(rows, [2, 1], 2), transitions=torch.zeros(3, 3))
    with pytest.raises(UsageError, match="expected scores of shape"):
        viterbi(packed(rows, [2, 1], 2), allowed=constraint(["O", "B-X", "I-X"], "iob2"))
    with pytest.raises(UsageError, match="for one of 2 words"):
        viterbi(
            packed(rows[:, :1], [2, 1], 2), allowed=Constraint(*(torch.tensor(x) for x in ([True], [[False]], [True])))
        )
