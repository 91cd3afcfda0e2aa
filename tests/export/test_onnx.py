"""An exported network, run by ONNX Runtime, answers as its model does."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache

import exported_models as small
import numpy as np
import plan_reading as reading
import pytest
import torch

from elman.layers.plan import BestPath, Spelled
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.plan import Direction, Recurrence, Skip
from elman.tasks.plan import Labels
from elman.text.pair import Pair

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from elman.export.onnx import reader  # noqa: E402
from elman.export.onnx.files import protos  # noqa: E402
from elman.export.onnx.graph import Graph, operation  # noqa: E402
from elman.export.onnx.network import network  # noqa: E402
from elman.export.onnx.path import best_tags  # noqa: E402
from elman.export.onnx.path import marginals as marginals_of  # noqa: E402
from elman.export.onnx.recurrence import Steps  # noqa: E402

draw = random.Random(3)
WORDS = [*small.WORDS, "unseen", "ΟΔΟΣ", "東京", "🧑‍🚀", "dog" + "a" * 70 + "sees"]
SHORT = [" ".join(draw.choices(WORDS, k=draw.choice([0, 1, 2, 3, 5, 8, 13]))) for _ in range(200)]
LMS = [name for name in small.MODELS if name.startswith("lm")]
REWRITERS = [name for name in small.MODELS if name.startswith("seq2seq")]
OTHERS = [name for name in small.MODELS if name not in (*LMS, *REWRITERS)]


def opened(proto):
    """A session on a graph that the checker has passed."""
    onnx.checker.check_model(proto, full_check=True)
    return reader.Session(proto.SerializeToString())


@cache
def exported(name):
    """(plan, feeder, proto and session by graph)."""
    plan = small.model(name).plan()
    graphs = protos(small.model(name))
    feeder = None if name in REWRITERS else reader.Network(graphs[""].SerializeToString()).feeds
    return plan, feeder, graphs, {graph: opened(proto) for graph, proto in graphs.items()}


def batches(texts, size):
    return [texts[i : i + size] for i in range(0, len(texts), size)]


def answers(name, texts):
    """(log-probabilities, names) of each text, with what is beyond the ends checked and cut off."""
    plan, feeder, _, sessions = exported(name)
    result = sessions[""](feeder(texts))
    labels = plan.answer.labels
    if isinstance(plan.answer, Labels):
        for i, logs in enumerate(result["log_probabilities"]):
            if plan.answer.several:
                chosen = [k for k in np.argsort(-logs, kind="stable") if result["labels"][i, k]]
            else:
                chosen = [result["label"][i]]
            yield logs, [labels[k] for k in chosen]
        return
    for text, tags, logs in zip(texts, result["tags"], result["log_probabilities"], strict=True):
        assert (tags[len(text) :] == -1).all() and not logs[len(text) :].any()
        yield logs[: len(text)], [labels[k] for k in tags[: len(text)]]


def expected(name, texts):
    """The same from the model. texts: lists of tokens, and as they were given."""
    model, plan = small.model(name), exported(name)[0]
    if isinstance(plan.answer, Labels):
        for answer in model.predict([text for _, text in texts], probabilities=True):
            yield np.log(list(answer.probabilities.values())), answer.labels
        return
    for (tokens, _), answer in zip(texts, model.predict([t for t, _ in texts]), strict=True):
        yield marginals(name, tokens), answer.tags


def marginals(name, tokens):
    """(tokens, tags): the log-probabilities, of a CRF by its own forward and backward algorithms."""
    plan = exported(name)[0]
    if plan.answer.path is None or plan.answer.path.softmax:
        return None
    network = small.model(name).evaluated
    batch = small.model(name).vocabularies.batch([tokens])
    with torch.no_grad():
        scores = batch.layout.with_data(network(batch))
    return network.crf.marginals(scores).log().detach().numpy()


def compare(name, texts, size):
    plan = exported(name)[0]
    tokens = [reading.tokens_of(plan, text) for text in texts]
    found = [each for batch in batches(tokens, size) for each in answers(name, batch)]
    wanted = expected(name, list(zip(tokens, texts, strict=True)))
    for text, (logs, names), (true_logs, true_names) in zip(tokens, found, wanted, strict=True):
        assert names == true_names, (name, text[:8])
        if true_logs is not None:
            np.testing.assert_allclose(np.exp(logs), np.exp(true_logs), atol=1e-5)
            seen = true_logs > -60
            np.testing.assert_allclose(logs[seen], true_logs[seen], atol=1e-4)
    return tokens, found


@pytest.mark.parametrize("name", OTHERS)
def test_short_texts_have_the_models_answers(name):
    tokens, found = compare(name, SHORT, 23)
    for text, (logs, names) in list(zip(tokens, found, strict=True))[:20]:
        ((alone, same),) = answers(name, [text])
        assert names == same
        np.testing.assert_allclose(alone, logs, atol=2e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_texts_that_are_hard_to_read_have_the_models_answers(name):
    compare(name, small.HOSTILE, len(small.HOSTILE))


@pytest.mark.parametrize("name", [name for name in OTHERS if name.startswith("tag") and "window" not in name])
def test_the_log_probabilities_of_tags_are_those_of_the_plan(name):
    plan = exported(name)[0]
    tokens = [text.split() for text in SHORT[:12]]
    if plan.answer.path is not None and not plan.answer.path.softmax:
        pytest.skip("a CRF's are compared with its marginals")
    for text, (logs, _) in zip(tokens, answers(name, tokens), strict=True):
        if text:
            np.testing.assert_allclose(logs, reading.log_softmax(reading.scores(plan, text)), atol=2e-5)


def numbered(name, text):
    """The ids of a text with a line's end on both sides, as a language model reads it."""
    labels = exported(name)[0].answer.labels
    place = {item: i for i, item in enumerate(labels)}
    ends = labels.index("</s>")
    return [ends, *(place.get(token, 0) for token in small.model(name).tokenizer.split(text)), ends]


@pytest.mark.parametrize("name", LMS)
def test_a_language_model_scores_as_in_python(name):
    _, _, _, sessions = exported(name)
    model, session = small.model(name), sessions[""]
    begin = session.begin()
    texts = [*SHORT[:60], *small.HOSTILE]
    for batch in batches(texts, 19):
        ids = [numbered(name, text) for text in batch]
        lengths = np.array([len(each) - 1 for each in ids])
        table = np.zeros((len(ids), lengths.max()), np.int64)
        for row, each in zip(table, ids, strict=True):
            row[: len(each) - 1] = each[:-1]
        logs = session({"token": table, "lengths": lengths, "state": begin})["log_probabilities"]
        assert not any(row[n:].any() for row, n in zip(logs, lengths, strict=True))
        for row, each, text in zip(logs, ids, batch, strict=True):
            (scored,) = model.score([text])
            found = row[np.arange(len(each) - 1), each[1:]]
            np.testing.assert_allclose(found, scored.log_probabilities, atol=1e-4)


@pytest.mark.parametrize("name", LMS)
def test_a_language_models_step_is_its_whole_network(name):
    _, _, _, sessions = exported(name)
    whole, step = sessions[""], sessions["step"]
    ids = np.array([numbered(name, "the Cat sees dogs")[:5], numbered(name, "run . x-1 the")[:5]])
    result = whole({"token": ids, "lengths": np.array([5, 5]), "state": whole.begin()})
    state = step.begin()
    for t in range(5):
        one = step({"token": ids[:, t], "state": state})
        np.testing.assert_allclose(one["log_probabilities"], result["log_probabilities"][:, t], atol=2e-5)
        state = one["next_state"]
    np.testing.assert_allclose(state, result["next_state"], atol=2e-5)
    # carried from call to call, over rows that have nothing to read too
    first = whole({"token": ids[:, :2], "lengths": np.array([2, 0]), "state": whole.begin()})
    second = whole({"token": ids[:, 2:], "lengths": np.array([3, 3]), "state": first["next_state"]})
    np.testing.assert_allclose(second["log_probabilities"][0], result["log_probabilities"][0, 2:], atol=2e-5)
    fresh = whole({"token": ids[:, 2:], "lengths": np.array([3, 3]), "state": whole.begin()})
    np.testing.assert_allclose(second["log_probabilities"][1], fresh["log_probabilities"][1], atol=2e-5)


def pairs(texts):
    """Pairs with targets, some of whose symbols are copied or unknown, and some with features."""
    return [Pair(text[:30], ["the Cat ΣΣ 京"], ("PL", "new") if i % 3 else ()) for i, text in enumerate(texts)]


@pytest.mark.parametrize("name", REWRITERS)
def test_an_encoder_decoder_writes_as_in_python(name):
    model, graphs = small.model(name), exported(name)[2]
    network = reader.Rewriter(*(graphs[graph].SerializeToString() for graph in ("", "step")))
    data = pairs([*SHORT[:30], *small.HOSTILE])
    sources = [model.source(pair).read() for pair in data]
    targets = [model.target_tokenizer.split(pair.targets[0]) for pair in data]
    scored = [log for _, logs in network.run(sources, targets) for log in logs]
    np.testing.assert_allclose(scored, model.log_probabilities(data), atol=1e-4)
    written = network.run(sources)
    for (symbols, _), answer in zip(written, model.predict(data, beam=1), strict=True):
        assert symbols == answer.answers[0].symbols
    ((symbols, logs),) = network.run(sources[4:5])
    assert symbols == written[4][0]
    np.testing.assert_allclose(logs, written[4][1], atol=2e-5)


def operators(graph):
    """The operators of a graph and of the bodies in it."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from operators(attribute.g)


RECURRENT = {"LSTM", "GRU", "RNN", "Scan"}
OF_CELL = {"elman": "RNN", "elman-relu": "RNN", "lstm": "LSTM", "lstm-peephole": "LSTM", "gru": "GRU"}
OF_MODEL = {  # characters, whose cell is an LSTM unless another is given, then words
    **{f"tag, {cell}": {OF_CELL.get(cell, "Scan"), "LSTM"} for cell in small.FITTING},
    "tag, user's cell": {"Scan"},
    "tag, two layers, delays": {"Scan", "LSTM"},
    "tag, CRF": {"LSTM", "Scan"},  # the path
    "tag, scheme": {"LSTM", "Scan"},
    "tag, window": set(),
    "classify, cbow": set(),
    "classify, ngrams": set(),
    "lm, by lines, gru": {"GRU"},
    "seq2seq, none, not tied, two layers": {"GRU"},
    "seq2seq, user's cell": {"Scan"},
}


@pytest.mark.parametrize("name", small.MODELS)
def test_equations_that_have_an_operator_use_it(name):
    graph = exported(name)[2][""].graph
    assert set(operators(graph)) & RECURRENT == OF_MODEL.get(name, {"LSTM"})


def test_a_users_cell_with_a_known_equation_uses_the_operator():
    from elman import Cell
    from elman.export.onnx.recurrence import operator_of
    from elman.recurrent.plan import direction_of

    class Mine(Cell):
        gates = ("reset", "keep", "new")
        recurrent_bias = ("new",)

        def step(self, s, x, r):
            a, b = torch.sigmoid(x.reset + r.reset), torch.sigmoid(x.keep + r.keep)
            new = torch.tanh(x.new + a * r.new)
            return self.State(h=new + b * (s.h - new))

    class Other(Mine):
        def step(self, s, x, r):
            a, b = torch.sigmoid(x.reset + r.reset), torch.sigmoid(x.keep + r.keep)
            new = torch.tanh(x.new + a * r.new)
            return self.State(h=s.h + b * (new - s.h))

    assert operator_of(direction_of(Mine(3, 4), False)).op == "GRU"
    assert operator_of(direction_of(Mine(3, 4, delays=2), False)) is None
    assert operator_of(direction_of(Other(3, 4), False)) is None


def chain(labels, softmax, generator):
    """A path of small whole numbers, so that paths are equal often, and with some forbidden."""
    start, end = (generator.integers(-2, 3, labels).astype(float) for _ in range(2))
    transitions = generator.integers(-2, 3, (labels, labels)).astype(float)
    transitions[generator.random((labels, labels)) < 0.2] = -np.inf
    transitions[np.arange(labels), np.arange(labels)] = 0.0  # one path is legal
    start[1], end[2] = -np.inf, -np.inf
    return BestPath(start, transitions, end, softmax)


def chained(path, rows, lengths):
    """(tags, log-marginals): (batch, time), (batch, time, labels)."""
    g = Graph()
    values = g.input("rows", "double", ["time", "batch", rows.shape[2]])
    steps = Steps.of(g, g.input("lengths", "int64", ["batch"]), values)
    g.output(best_tags(g, path, values, steps), "tags", "int64", ["time", "batch"])
    g.output(marginals_of(g, path, values, steps), "marginals", "double", ["time", "batch", rows.shape[2]])
    result = opened(g.model("path", {"elman": "{}"}))({"rows": rows, "lengths": lengths})
    return result["tags"].T, result["marginals"].transpose(1, 0, 2)


@pytest.mark.parametrize("seed", range(8))
def test_paths_and_marginals_are_those_of_all_paths(seed):
    generator = np.random.default_rng(seed)
    path, lengths = chain(4, False, generator), np.array([5, 1, 0, 3, 4, 2])
    rows = generator.integers(-2, 3, (5, 6, 4)).astype(float)
    tags, logs = chained(path, rows, lengths)
    for b, length in enumerate(lengths):
        if not length:
            continue
        scores = {}
        for ids in itertools.product(range(4), repeat=int(length)):
            total = path.start[ids[0]] + path.end[ids[-1]] + sum(rows[t, b, k] for t, k in enumerate(ids))
            scores[ids] = total + sum(path.transitions[i, j] for i, j in itertools.pairwise(ids))
        assert tags[b, :length].tolist() == reading.best(path, rows[:length, b].astype(np.float32))
        # of equal paths the one with the lowest last label, then the one before it
        best = min((ids[::-1] for ids, score in scores.items() if score == max(scores.values())))[::-1]
        assert tuple(tags[b, :length]) == best
        chances = np.zeros((length, 4))
        for ids, score in scores.items():
            chances[np.arange(length), ids] += np.exp(score)
        np.testing.assert_allclose(np.exp(logs[b, :length]), chances / chances[0].sum(), atol=1e-12)


def begun_elsewhere(part, generator):
    """The part with states before the first step that are not zero."""
    if isinstance(part, Recurrence):
        return Recurrence(tuple(begun_elsewhere(one, generator) for one in part.directions))
    if isinstance(part, Skip):
        return Skip(tuple(begun_elsewhere(one, generator) for one in part.parts))
    if not isinstance(part, Direction):
        return part
    state = generator.normal(size=part.state.shape).astype(np.float32)
    seen = generator.normal(size=part.seen.shape).astype(np.float32)
    if len(seen):
        seen[0] = state[0]
    return replace(part, state=state, seen=seen, output=state[0])


@pytest.mark.parametrize(
    "name", ["tag, lstm", "tag, gru", "tag, elman", "tag, mgu", "tag, two layers, delays", "classify, final"]
)
def test_states_before_the_first_step_may_be_any(name):
    plan = small.model(name).plan()
    generator = np.random.default_rng(5)
    plan = replace(
        plan,
        inputs=tuple(
            replace(one, layer=begun_elsewhere(one.layer, generator)) if isinstance(one, Spelled) else one
            for one in plan.inputs
        ),
        layers=tuple(begun_elsewhere(part, generator) for part in plan.layers),
    )
    session, texts = (
        opened(network(plan).model("begun", {"elman": "{}"})),
        [["the", "Cat"], [], ["x-1"], ["dogs", "run", "", "."]],
    )
    logs = session(exported(name)[1](texts))["log_probabilities"]
    for row, text in zip(logs, texts, strict=True):
        wanted = reading.log_softmax(reading.scores(plan, text))
        np.testing.assert_allclose(row[: len(text)] if row.ndim == 2 else row, wanted, atol=2e-5)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -1.5, 3.0, -3.0, 1e-7, -1e-7, 30.0, -30.0, 1e30, np.inf, -np.inf, np.nan]
LOGIC = ("and", "or", "xor", "not")
RATHER = {"erfc": 1e-6}  # 1 - Erf: absolute


@pytest.mark.parametrize("op", OPERATIONS)
def test_every_operation_is_computed_as_torch_does(op):
    generator = np.random.default_rng(1)
    arity = OPERATIONS[op].cpp.count("{")
    values = [generator.uniform(-4, 4, 400), generator.uniform(-1e-3, 1e-3, 100), generator.uniform(1, 88, 100)]
    rows = [np.concatenate([generator.permutation(np.concatenate(values)), *grid]) for grid in _grids(arity)]
    rows = [row.astype(np.float32) for row in rows]
    truths = arity if op in LOGIC else int(op == "where")
    g = Graph()
    names = [g.input(f"a{i}", "bool" if i < truths else "float", ["n"]) for i in range(arity)]
    g.output(operation(g, OPERATIONS[op].onnx, names), "value", "bool" if OPERATIONS[op].truth else "float", ["n"])
    feeds = {name: row > 0 if i < truths else row for i, (name, row) in enumerate(zip(names, rows, strict=True))}
    found = opened(g.model(op, {"elman": "{}"}))(feeds)["value"]
    meant = OPERATIONS[op].torch(*(torch.from_numpy(feed) for feed in feeds.values())).numpy()
    if OPERATIONS[op].truth:
        np.testing.assert_array_equal(found, meant)
    else:
        np.testing.assert_allclose(found, meant, rtol=1e-5, atol=RATHER.get(op, 2e-7))


def _grids(arity):
    """Every combination of special numbers, as one list for each argument."""
    axes = np.meshgrid(*[np.array(SPECIAL)] * min(arity, 2))
    flat = [axis.reshape(-1) for axis in axes]
    return [[each] for each in (*flat, flat[0])][:arity]
