"""The best path through a chain of scores, and a CRF's marginals, as ONNX: in float64, as `layers.decoding` does."""

from __future__ import annotations

import numpy as np

from elman.export.onnx.graph import Graph
from elman.export.onnx.recurrence import Steps
from elman.layers.plan import BestPath

DOUBLE = 11


def best_tags(g: Graph, path: BestPath, rows: str, steps: Steps) -> str:
    """(time, batch) int64: the labels of the best path, whatever beyond the ends. rows (time, batch, labels) double."""
    first = _first(g, steps)
    labels = len(path.start)
    body = Graph(g)
    alpha, row = body.input("alpha", "double", ["batch", labels]), body.input("row", "double", ["batch", labels])
    begins, inside = body.input("begins", "bool", []), body.input("inside", "bool", ["batch", 1])
    ways = body("Add", body("Unsqueeze", alpha, np.array([2])), path.transitions)  # (batch, from, to)
    into = body("Where", begins, path.start, body("ReduceMax", ways, axes=[1], keepdims=0))
    now = body("Where", inside, body("Add", into, row), alpha)
    body.output(now, "after", "double", ["batch", labels])
    body.output(now, "alphas", "double", ["batch", labels])
    alphas = g.several(
        "Scan", [_zeros(g, steps, labels), rows, first, steps.inside], 2, body=body.proto("forward"), num_scan_inputs=3
    )[1]

    back = Graph(g)
    following, alpha = back.input("following", "int64", ["batch"]), back.input("alpha", "double", ["batch", labels])
    ends, inside = back.input("ends", "bool", ["batch", 1]), back.input("inside", "bool", ["batch", 1])
    onward = back("Where", ends, path.end, back("Gather", np.ascontiguousarray(path.transitions.T), following, axis=0))
    chosen = back("ArgMax", back("Add", alpha, onward), axis=1, keepdims=0)  # the first of equal ones
    chosen = back("Where", back("Squeeze", inside, np.array([1])), chosen, following)
    back.output(chosen, "after", "int64", ["batch"])
    back.output(chosen, "tags", "int64", ["batch"])
    return g.several(
        "Scan",
        [g("Expand", 0, steps.batch), alphas, _last(g, steps), steps.inside],
        2,
        body=back.proto("backward"),
        num_scan_inputs=3,
        scan_input_directions=[1, 1, 1],
        scan_output_directions=[1],
    )[1]


def marginals(g: Graph, path: BestPath, rows: str, steps: Steps) -> str:
    """(time, batch, labels) double: the log-probability of each label of a CRF, by the forward and backward algorithms
    (Rabiner 1989), whatever beyond the ends. rows as in `best_tags`."""
    labels = len(path.start)

    def scan(name: str, edge: str, start: np.ndarray, transitions: np.ndarray, way: int) -> str:
        """Log-sums over the paths that reach each label from one side, its own score included."""
        body = Graph(g)
        alpha, row = body.input("alpha", "double", ["batch", labels]), body.input("row", "double", ["batch", labels])
        at_edge, inside = body.input("edge", "bool", [] if way == 0 else ["batch", 1]), ""
        inside = body.input("inside", "bool", ["batch", 1])
        ways = body("Add", body("Unsqueeze", alpha, np.array([2])), transitions)
        into = body("Where", at_edge, start, log_sum(body, ways, 1))
        now = body("Where", inside, body("Add", into, row), alpha)
        body.output(now, "after", "double", ["batch", labels])
        body.output(now, "sums", "double", ["batch", labels])
        return g.several(
            "Scan",
            [_zeros(g, steps, labels), rows, edge, steps.inside],
            2,
            body=body.proto(name),
            num_scan_inputs=3,
            scan_input_directions=[way] * 3,
            scan_output_directions=[way],
        )[1]

    ahead = scan("forward_sums", _first(g, steps), path.start, path.transitions, 0)
    back = scan("backward_sums", _last(g, steps), path.end, np.ascontiguousarray(path.transitions.T), 1)
    both = g("Sub", g("Add", ahead, back), rows)
    return g("Sub", both, log_sum(g, both, 2, keep=1))


def log_sum(g: Graph, x: str, axis: int, keep: int = 0) -> str:
    """log sum exp, also where all are minus infinity."""
    top = g("Max", g("ReduceMax", x, axes=[axis], keepdims=1), np.array(-1e300))
    total = g("Log", g("ReduceSum", g("Exp", g("Sub", x, top)), np.array([axis]), keepdims=keep))
    return g("Add", total, top if keep else g("Squeeze", top, np.array([axis])))


def _zeros(g: Graph, steps: Steps, labels: int) -> str:
    return g("Expand", np.array(0.0), g("Concat", steps.batch, np.array([labels]), axis=0))


def _first(g: Graph, steps: Steps) -> str:
    """(time,): whether it is the first step."""
    return g("Equal", g("Range", 0, g("Squeeze", steps.time), 1), 0)


def _last(g: Graph, steps: Steps) -> str:
    """(time, batch, 1): whether it is the last step of its sequence."""
    numbers = g("Unsqueeze", g("Range", 0, g("Squeeze", steps.time), 1), np.array([1, 2]))
    return g("Equal", g("Add", numbers, 1), g("Unsqueeze", steps.lengths, np.array([0, 2])))
