"""An exported network, run by ONNX Runtime, answers as its model does."""

from __future__ import annotations

import random

import exported_models as small
import numpy as np
import plan_reading as reading
import pytest
import torch

from elman.recurrent.kernels.operations import OPERATIONS

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from elman.export.onnx.feeds import Feeder  # noqa: E402
from elman.export.onnx.graph import Graph, operation  # noqa: E402
from elman.export.onnx.network import network  # noqa: E402


def session(graph):
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(graph, feeds):
    names = [one.name for one in graph.get_outputs()]
    return dict(zip(names, graph.run(names, feeds), strict=True))


def checked(proto):
    onnx.checker.check_model(proto, full_check=True)
    return session(proto.SerializeToString())


@pytest.mark.parametrize("name", small.MODELS)
def test_it(name):
    model = small.model(name)
    plan = model.plan()
    graph = checked(network(plan).model("t", {}))
    feeder = Feeder.of(plan)
    texts = [reading.tokens_of(plan, t) for t in small.HOSTILE]
    feeds = feeder(texts)
    if plan.task == "lm":
        return
    got = run(graph, feeds)
    if plan.task == "tag":
        expected = model.predict(texts)
        for ids, e, t in zip(got["tags"], expected, texts):
            assert [plan.answer.labels[i] for i in ids[: len(t)]] == e.tags
            assert (ids[len(t) :] == -1).all()
    else:
        expected = model.predict(small.HOSTILE, probabilities=True)
        for i, e in enumerate(expected):
            np.testing.assert_allclose(np.exp(got["log_probabilities"][i]), list(e.probabilities.values()), atol=1e-5)
