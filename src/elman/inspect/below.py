"""What reaches the parameters that compute the inputs of the recurrent layers: vector tables, character readers.

The input x_i of a step depends on its own token alone, so what reaches a parameter at step i from output j is
(dx_i / d parameter)' dL_j / dx_i."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from elman.inspect.cell_uses import CellUses, Factors
from elman.inspect.subject import CHUNK, Place, Subject, backward_many, floats, owns_output
from elman.tasks.examine import Spelled


def norms_below(subject: Subject, names: Sequence[str]) -> dict[str, Tensor]:
    """Name of a parameter of the network -> the norms (J, rows) of what reaches it. names: those that compute inputs.

    A row of a table gets the gradient of the columns that it fills. For a recurrent reader of characters they are sums
    of outer products. For everything else they are computed in full, token by token."""
    norms = {
        table.parameter: subject.at_inputs[:, :, table.start : table.stop].norm(dim=2)
        for table in subject.lookups
        if table.parameter in names
    }
    if subject.examined is not None and subject.examined.spelled is not None:
        norms |= _spelled(subject, subject.examined.spelled)
    others = [name for name in names if name not in norms]
    return norms | (_token_by_token(subject, others) if others else {})


def _spelled(subject: Subject, spelled: Spelled) -> dict[str, Tensor]:
    """For the table of characters and the declared parameters of the cells that read them.

    With J_w the Jacobian of a word's vector w.r.t. a parameter, the norm of J_w' g is that of g under J_w J_w'. All
    words are backpropagated through their characters at once, one number of their vectors after another."""
    places = [Place("", 0, record) for record in subject.below]
    if any(not p.record.cell.fits or owns_output(p.record.cell) for p in places):
        return {}
    word = spelled.word
    size = spelled.stop - spelled.start
    one = torch.zeros(size, *subject.given.shape, dtype=subject.given.dtype)
    firsts = [int((word == w).nonzero()[0]) for w in range(len(spelled.ids.lengths))]  # one row of each word
    for d in range(size):
        one[d, firsts, spelled.start + d] = 1
    read = subject.below[0].xs.data
    wanted = [read, *(value for p in places for state in p.record.after for value in floats(state))]
    by_read, *rest = backward_many([subject.given], wanted, [one])
    pieces = iter(rest)
    uses = []
    for p in places:
        steps = [torch.cat([next(pieces).flatten(2) for _ in floats(state)], 2) for state in p.record.after]
        reached = torch.cat(steps, 1)
        numbers = reached.flatten(1).any(1).nonzero().flatten()  # of a word's vector, those that come from this cell
        uses.append((numbers, CellUses(p, reached[numbers])))
    named = {id(parameter): name for name, parameter in subject.parameters.items()}
    norms: dict[str, Tensor] = {}
    every = spelled.ids.rows_of_sequence
    most = max(CHUNK // max(24 * sum(use.gradients[:, 0].numel() for _, use in uses), 1), 1)
    for words in _groups(spelled.ids.lengths, most):
        rows = torch.cat([every[w] for w in words])
        letters = torch.nn.functional.one_hot(spelled.ids.data[rows].unique(return_inverse=True)[1]).to(one.dtype)
        parts = {spelled.parameter: (torch.arange(size), Factors(letters, by_read[:, rows].transpose(0, 1)))}
        for numbers, use in uses:
            parts |= {
                named[id(use.parameters[name])]: (numbers, factors) for name, factors in use.factors(rows).items()
            }
        first = 0
        for w in words:
            here, own = (word == w).nonzero().flatten(), slice(first, first + spelled.ids.lengths[w])
            first = own.stop
            g = subject.at_inputs[:, here, spelled.start : spelled.stop]
            for name, (numbers, (left, right)) in parts.items():
                gram, some = _gram(None if left is None else left[own], right[own]), g[:, :, numbers]
                square = ((some @ gram) * some).sum(2).clamp(min=0)
                norms.setdefault(name, torch.zeros_like(subject.at_inputs[:, :, 0]))[:, here] = square.sqrt()
    return norms


def _groups(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """The indices of words that have at most `most` characters together, one word at least."""
    group: list[int] = []
    for w, length in enumerate(lengths):
        if group and sum(lengths[k] for k in group) + length > most:
            yield group
            group = []
        group.append(w)
    if group:
        yield group


def _gram(left: Tensor | None, right: Tensor) -> Tensor:
    """(n, n) the inner products of n gradients, each a sum over rows of left (rows, a) by right (rows, n, b)."""
    if left is None:
        whole = right.sum(0)
        return whole @ whole.t()
    mixed = torch.einsum("rs,snb->rnb", left @ left.t(), right)
    return torch.einsum("rnb,rmb->nm", right, mixed)


def _token_by_token(subject: Subject, names: Sequence[str]) -> dict[str, Tensor]:
    """Each distinct token is read alone, and its gradients are computed in full."""
    squares = {name: torch.zeros_like(subject.at_inputs[:, :, 0]) for name in names}
    tokens = subject.tokens
    for token in dict.fromkeys(tokens):
        rows = torch.tensor([i for i, other in enumerate(tokens) if other == token])
        alone = Subject.of_texts(subject.model, [[token]])
        parameters = [alone.parameters[name] for name in names]
        given = subject.at_inputs[:, rows].flatten(0, 1).unsqueeze(1)
        many = max(CHUNK // sum(p.numel() for p in parameters), 1)
        for first in range(0, len(given), many):
            grads = backward_many([alone.given], parameters, [given[first : first + many]])
            for name, g in zip(names, grads, strict=True):
                pair = torch.arange(first, first + len(g))
                squares[name][pair // len(rows), rows[pair % len(rows)]] = g.flatten(1).square().sum(1)
    return {name: value.sqrt() for name, value in squares.items()}
