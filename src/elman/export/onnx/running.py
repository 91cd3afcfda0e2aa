"""Graphs run by ONNX Runtime, for texts as tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from elman.export.onnx.feeds import Feeder, Feeds, SourceFeeder
from elman.tasks.plan import Labels, Next, Plan, Rewriting
from elman.text.batching import batches_by_tokens

TOKENS = 2000  # of a batch
STEPS = 500  # of a running text at once


class Session:
    """A graph, ready to run on one thread, so that sums are always made in the same order."""

    def __init__(self, file: str | Path | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # errors: what the optimizer says about graphs is not for users
        graph = file if isinstance(file, bytes) else str(file)
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.outputs = [one.name for one in self.session.get_outputs()]
        self.widths = {one.name: one.shape[-1] for one in self.session.get_inputs()}

    def __call__(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """The outputs by name. Feeds that it has no input for are left out."""
        chosen = {name: value for name, value in feeds.items() if name in self.widths}
        return dict(zip(self.outputs, self.session.run(self.outputs, chosen), strict=True))

    def begin(self, name: str = "state") -> NDArray[np.float32]:
        """The input that stands for the state before the first step."""
        return np.zeros((0, self.widths[name]), np.float32)


class Network:
    """A whole network with its plan."""

    def __init__(self, plan: Plan, file: str | Path | bytes) -> None:
        self.plan, self.feeder, self.session = plan, Feeder.of(plan), Session(file)

    def answers(self, texts: Sequence[Sequence[str]]) -> list[tuple[list[str], NDArray[np.float32]]]:
        """Of each text, its tags with the log-probabilities of all at each token (tokens, tags), or its labels with
        those of all (labels,)."""
        found: dict[int, Any] = {}
        for group in batches_by_tokens([len(text) for text in texts], TOKENS):
            chosen = [texts[i] for i in group]
            for i, answer in zip(group, self._answers(chosen), strict=True):
                found[i] = answer
        return [found[i] for i in range(len(texts))]

    def _answers(self, texts: Sequence[Sequence[str]]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        result, names = self.session(self.feeder(texts)), self.plan.answer.labels
        for i, (text, logs) in enumerate(zip(texts, result["log_probabilities"], strict=True)):
            if not isinstance(self.plan.answer, Labels):
                yield [names[k] for k in result["tags"][i, : len(text)]], logs[: len(text)]
            elif self.plan.answer.several:
                order = np.argsort(-logs, kind="stable")
                yield [names[k] for k in order if result["labels"][i, k]], logs
            else:
                yield [names[result["label"][i]]], logs

    def scores(self, lines: Sequence[Sequence[str]]) -> list[list[float]]:
        """Of a language model: the log-probability of each token of lines, and of each line's end."""
        assert isinstance(self.plan.answer, Next)
        place = {item: i for i, item in enumerate(self.plan.answer.labels)}
        rows = [[1, *(place.get(token, 0) for token in line), 1] for line in lines]
        if not self.plan.answer.carries:
            return [self._read(row, self.session.begin())[0] for row in rows]
        stream, _ = self._read([1, *(i for row in rows for i in row[1:])], self.session.begin())
        cut = np.cumsum([0, *(len(row) - 1 for row in rows)])
        return [stream[a:b] for a, b in pairwise(cut)]

    def _read(self, ids: Sequence[int], state: NDArray[np.float32]) -> tuple[list[float], NDArray[np.float32]]:
        """The log-probabilities of all ids but the first, and the state then."""
        logs: list[float] = []
        for start in range(0, len(ids) - 1, STEPS):
            part = np.array(ids[start : start + STEPS + 1])
            read, written = part[:-1], part[1:]
            result = self.session({"token": read[None], "lengths": np.array([len(read)]), "state": state})
            logs += result["log_probabilities"][0, np.arange(len(read)), written].tolist()
            state = result["next_state"]
        return logs, state


class Rewriter:
    """An encoder and the step of its decoder, with their plan."""

    def __init__(self, plan: Rewriting, encoder: str | Path | bytes, step: str | Path | bytes) -> None:
        self.plan, self.feeder = plan, SourceFeeder(plan)
        self.encoder, self.step = Session(encoder), Session(step)

    def run(
        self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None
    ) -> list[tuple[list[str], list[float]]]:
        """Of each source, the symbols written, and the log-probability of each and of the end: those of a target, or
        greedily."""
        feeds, names = self.feeder(sources)
        feeds |= self.encoder(feeds)
        known = {name: i for i, name in enumerate(names)}
        rows, before = np.arange(len(sources)), np.ones(len(sources), np.int64)
        most = [max(2 * self.plan.longest + 10, 3 * len(source)) for source in sources]
        wanted = None
        if targets is not None:  # a symbol that only another source has cannot be written
            own = [{*self.plan.target_symbols, *source} for source in sources]
            each = zip(own, targets, strict=True)
            wanted = [[*(known.get(s, 0) if s in able else 0 for s in target), 1] for able, target in each]
        results: list[tuple[list[str], list[float]]] = [([], []) for _ in sources]
        going = set(range(len(sources)))
        while going:
            result = self.step({**feeds, "token": before})
            logs = result["log_probabilities"]
            if wanted is None:
                before = 1 + logs[:, 1:].argmax(1)
            else:
                before = np.array([row.pop(0) if row else 1 for row in wanted])
            for i in sorted(going):
                symbols, scores = results[i]
                scores.append(float(logs[i, before[i]]))
                if before[i] != 1:
                    symbols.append(names[before[i]])
                if before[i] == 1 or (wanted is None and len(symbols) >= most[i]):
                    going.remove(i)
            feeds["state"] = result["next_state"]
            if "positions" in result:
                feeds["position"] = result["positions"][rows, :, before]
        return results
