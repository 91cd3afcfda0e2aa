"""`Packed`: rows in time-major order, longest first, and every way in and out."""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from elman.recurrent import Packed

lengths_lists = st.lists(st.integers(0, 6), min_size=1, max_size=7)
quick = settings(max_examples=60, deadline=None, derandomize=True)


def numbered(lengths, dim=2):
    """Sequences in which every number is different."""
    flat = torch.arange(sum(lengths) * dim, dtype=torch.float64).view(-1, dim)
    return list(flat.split(lengths))


def by_hand(sequences):
    """The layout by definition: (row, sequence, position) in time-major order, longest first, ties in order."""
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    longest = max(len(s) for s in sequences)
    rows = [(sequences[i][t], k, t) for t in range(longest) for k, i in enumerate(order) if t < len(sequences[i])]
    return order, rows


@given(lengths_lists)
@example([0])
@example([0, 0])
@example([1, 0, 1])
@quick
def test_the_layout(lengths):
    sequences = numbered(lengths)
    order, rows = by_hand(sequences)
    packed = Packed.from_list(sequences)
    assert packed.order.tolist() == order
    assert packed.lengths == [lengths[i] for i in order]
    assert packed.batch_sizes == [sum(n > t for n in lengths) for t in range(max(lengths))]
    assert packed.sequences == len(lengths)
    assert [row.tolist() for row in packed.data] == [row.tolist() for row, _, _ in rows]
    assert packed.sequence_of_row.tolist() == [k for _, k, _ in rows]
    assert packed.position_of_row.tolist() == [t for _, _, t in rows]
    assert [len(step) for step in packed.steps()] == packed.batch_sizes
    assert packed.offsets.tolist() == [sum(packed.batch_sizes[:t]) for t in range(max(lengths))]
    for k, where in enumerate(packed.rows_of_sequence):
        assert torch.equal(packed.data[where], sequences[order[k]])


@given(lengths_lists)
@example([0])
@example([0, 3, 0])
@quick
def test_round_trips(lengths):
    sequences = numbered(lengths)
    packed = Packed.from_list(sequences)
    for back, sequence in zip(packed.to_list(), sequences, strict=True):
        assert torch.equal(back, sequence)

    padded = pad_sequence(sequences, batch_first=True, padding_value=-1.0)
    assert torch.equal(packed.to_padded(value=-1.0), padded)
    wider = packed.to_padded(9)
    assert wider.shape == (len(lengths), 9, 2) and not wider[:, max(lengths) :].any()
    for given_lengths in (lengths, torch.tensor(lengths)):
        again = Packed.from_padded(padded, given_lengths)
        assert torch.equal(again.data, packed.data)
        assert (again.batch_sizes, again.lengths) == (packed.batch_sizes, packed.lengths)
        assert torch.equal(again.order, packed.order)

    rows = torch.arange(len(lengths)) * 10
    assert packed.sorted_rows(rows).tolist() == [10 * i for i in packed.order.tolist()]
    assert torch.equal(packed.caller_rows(packed.sorted_rows(rows)), rows)

    plan = Packed.plan(lengths)
    assert torch.equal(torch.cat(sequences)[plan.data], packed.data)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
@quick
def test_to_and_from_torch(lengths):
    sequences = numbered(lengths)
    theirs = pack_sequence(sequences, enforce_sorted=False)
    ours = Packed.from_list(sequences).to_torch()
    padded, got_lengths = torch.nn.utils.rnn.pad_packed_sequence(ours, batch_first=True)
    assert torch.equal(padded, pad_sequence(sequences, batch_first=True)) and got_lengths.tolist() == lengths
    assert torch.equal(ours.batch_sizes, theirs.batch_sizes)
    for packed in (ours, theirs):
        for back, sequence in zip(Packed.from_torch(packed).to_list(), sequences, strict=True):
            assert torch.equal(back, sequence)
    falling = sorted(sequences, key=len, reverse=True)
    unsorted = Packed.from_torch(pack_sequence(falling))  # which has no sorted_indices
    assert unsorted.order.tolist() == list(range(len(falling)))
    assert all(torch.equal(a, b) for a, b in zip(unsorted.to_list(), falling, strict=True))


def test_without_lengths_every_sequence_has_all_steps():
    padded = torch.arange(12.0).view(2, 3, 2)
    packed = Packed.from_padded(padded)
    assert packed.lengths == [3, 3] and torch.equal(packed.to_padded(), padded)


def test_ids_of_tokens_pack_too():
    packed = Packed.from_list([torch.tensor([1, 2]), torch.tensor([3, 4, 5])])
    assert packed.data.tolist() == [3, 1, 4, 2, 5]
    assert packed.to_padded().tolist() == [[1, 2, 0], [3, 4, 5]]


def test_gradients_reach_every_real_row_and_no_padded_one():
    padded = torch.ones(3, 4, 2, requires_grad=True)
    Packed.from_padded(padded, [2, 0, 4]).data.sum().backward()
    assert padded.grad[..., 0].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    leaf = torch.ones(2, 3, requires_grad=True)
    (Packed.from_list([leaf, torch.ones(3, 3)]).to_padded() * 2).sum().backward()
    assert torch.equal(leaf.grad, torch.full((2, 3), 2.0))


def test_with_data_keeps_the_sequences():
    packed = Packed.from_list(numbered([1, 3]))
    other = packed.with_data(packed.data[:, :1] * 2)
    assert [len(s) for s in other.to_list()] == [1, 3] and other.to_list()[0].item() == 0.0


def test_ties_stay_in_the_callers_order_in_a_large_batch():
    lengths = [3, 1, 3, 2] * 500
    assert Packed.plan(lengths).order.tolist() == sorted(range(2000), key=lambda i: -lengths[i])
