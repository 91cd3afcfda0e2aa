"""Exported files compared with the model that they were made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elman.export.onnx.reader import END, Network, Rewriter, Session, batches
from elman.tasks.plan import Next, Plan, Rewriting, Tags

# Read when no data is given: scripts, words never seen, long words, marks that belong to letters.
SAMPLES = (
    "The cat that the dogs saw runs .",
    "Ὁ Ὀδυσσεὺς ἦλθε καὶ ἔφη ΟΔΥΣΣΕΥΣ",
    "北京 是 中国的首都 。 東京タワー",
    "👍🏽 🧑‍🚀 e\u0301t\u00e9 İstanbul ß ŉ",
    "never-seen McDonald's-1984 1,000 km/h https://example.org ada@example.org",
    "a" * 300 + " b",
    "",
    "one two three four five six seven eight nine ten " * 10,
)


def compare(model: Any, files: Mapping[str, Path], data: Any) -> dict[str, Any]:
    """What ONNX Runtime answers beside what the model does.

    files: by graph, as `files.protos` names them; data: as for `elman.export.onnx.write`
    Returns examples; answers and how many of them are different; largest_difference of their probabilities, or for a
    language model and an encoder-decoder of log-probabilities; and with gold answers, accuracy or perplexity of both.
    An encoder-decoder answers greedily, and its accuracy is the share of answers that are right."""
    plan = model.plan()
    if isinstance(plan, Rewriting):
        return _rewriter(model, files, data)
    if isinstance(plan.answer, Next):
        return _language_model(model, files, data)
    if isinstance(plan.answer, Tags):
        return _tagger(model, plan, files, data)
    return _classifier(model, plan, files, data)


def notes(result: Mapping[str, Any]) -> list[str]:
    """The result in words."""
    parts = [f"{result['examples']:,} texts, {result['answers']:,} {result['unit']}"]
    if result["different"] is not None:
        parts.append(f"{result['different']:,} different" if result["different"] else "none different")
    what = "log-probabilities" if result["unit"] in ("tokens", "answers") else "probabilities"
    lines = [f"check: {', '.join(parts)}; {what} differ by at most {result['largest_difference']:.2g}"]
    for name, digits in (("accuracy", 2), ("perplexity", 3)):
        if name in result:
            scores = {k: 100 * v if name == "accuracy" else v for k, v in result[name].items()}
            change = scores["onnx"] - scores["python"]
            both = f"{scores['python']:.{digits}f} in Python, {scores['onnx']:.{digits}f} in ONNX Runtime"
            lines.append(f"check: {name} {both}: {change:+.{digits}f}")
    return lines


def _tagger(model: Any, plan: Plan, files: Mapping[str, Path], data: Any) -> dict[str, Any]:
    texts = [text.split() for text in SAMPLES] if data is True else [list(sentence.words) for sentence in data]
    gold = None if data is True else [sentence.tags for sentence in data]
    mine, place = model.predict(texts, probabilities=True), {tag: i for i, tag in enumerate(plan.answer.labels)}
    found = Network(files[""]).answers(texts)
    largest = 0.0
    for answer, (tags, logs) in zip(mine, found, strict=True):
        for t, (tag, other) in enumerate(zip(answer.tags, tags, strict=True)):
            if tag == other and answer.probabilities is not None:
                largest = max(largest, abs(math.exp(logs[t, place[tag]]) - answer.probabilities[t]))
    pairs = [
        pair for answer, (tags, _) in zip(mine, found, strict=True) for pair in zip(answer.tags, tags, strict=True)
    ]
    right = None if gold is None or None in gold else [tag for tags in gold for tag in tags]
    return _result("tags", len(texts), pairs, right, largest)


def _classifier(model: Any, plan: Plan, files: Mapping[str, Path], data: Any) -> dict[str, Any]:
    texts = list(SAMPLES) if data is True else [example.text for example in data]
    gold = None if data is True else [example.labels for example in data]
    network = Network(files[""])
    found = network.answers([network.tokens(text) for text in texts])
    mine = model.predict(texts, probabilities=True)
    largest = 0.0
    for answer, (_, logs) in zip(mine, found, strict=True):
        there = np.array([answer.probabilities[label] for label in plan.answer.labels])
        largest = max(largest, float(np.abs(np.exp(logs) - there).max()))
    pairs = [(sorted(answer.labels), sorted(labels)) for answer, (labels, _) in zip(mine, found, strict=True)]
    right = None if gold is None or None in gold else [sorted(labels) for labels in gold]
    return _result("labels", len(texts), pairs, right, largest)


def _result(
    unit: str, examples: int, pairs: Sequence[tuple[Any, Any]], gold: Sequence[Any] | None, largest: float
) -> dict[str, Any]:
    """pairs: (the model's, the file's) answers."""
    different = sum(a != b for a, b in pairs)
    result: dict[str, Any] = {"examples": examples, "unit": unit, "answers": len(pairs), "different": different}
    result["largest_difference"] = largest
    if gold:
        result["accuracy"] = {
            name: sum(pair[k] == right for pair, right in zip(pairs, gold, strict=True)) / len(gold)
            for k, name in enumerate(("python", "onnx"))
        }
    return result


def _language_model(model: Any, files: Mapping[str, Path], data: Any) -> dict[str, Any]:
    from elman.tasks.language_model.data import TextSource

    lines = list(SAMPLES) if data is True else [line for _, line in TextSource.of(data).lines()]
    network = Network(files[""])
    mine = np.concatenate([scored.log_probabilities for scored in model.score(lines)] or [np.zeros(0)])
    tokens = [network.tokens(line) for line in lines]
    found = np.concatenate([np.array(scores) for scores in network.scores(tokens)] or [np.zeros(0)])
    largest = max(_difference(mine, found), _step_difference(network, Session(files["step"]), tokens))
    result = {"examples": len(lines), "unit": "tokens", "answers": len(mine), "different": None}
    result["largest_difference"] = largest
    if data is not True and len(mine):
        result["perplexity"] = {"python": float(np.exp(-mine.mean())), "onnx": float(np.exp(-found.mean()))}
    return result


def _rewriter(model: Any, files: Mapping[str, Path], data: Any) -> dict[str, Any]:
    """Greedy answers, and the log-probabilities of targets, or of the model's answers."""
    from elman.text.pair import Pair

    pairs = [Pair(text[:100], None) for text in SAMPLES] if data is True else list(data)
    mine = [prediction.answers[0] for prediction in model.predict(pairs, beam=1)]
    network = Rewriter(files[""], files["step"])
    sources, cut = [network.symbols(pair.source, pair.features) for pair in pairs], model.target_tokenizer.split
    given = [] if data is True else [pair.targets for pair in pairs if pair.targets is not None]
    gold = given if len(given) == len(pairs) else None
    texts = [answer.text for answer in mine] if gold is None else [targets[0] for targets in gold]
    scored = model.log_probabilities([replace(pair, targets=[text]) for pair, text in zip(pairs, texts, strict=True)])
    answers: dict[int, str] = {}
    logs: dict[int, list[float]] = {}
    for group in batches([len(source) + 1 for source in sources]):
        chosen = [sources[i] for i in group]
        for i, (symbols, _) in zip(group, network.run(chosen), strict=True):
            answers[i] = model.target_tokenizer.join(symbols)
        for i, (_, row) in zip(group, network.run(chosen, [cut(texts[i]) for i in group]), strict=True):
            logs[i] = row
    found = np.array([value for i in range(len(pairs)) for value in logs[i]])
    results = [(answer.text, answers[i]) for i, answer in enumerate(mine)]
    result = _result("answers", len(pairs), results, None, _difference(found, scored))
    if gold:
        result["accuracy"] = {
            name: sum(texts[k] in targets for texts, targets in zip(results, gold, strict=True)) / len(gold)
            for k, name in enumerate(("python", "onnx"))
        }
    return result


def _step_difference(network: Network, step: Session, lines: Sequence[Sequence[str]]) -> float:
    """Between the whole network's log-probabilities and the step's, over the first tokens."""
    place = {item: i for i, item in enumerate(network.labels)}
    ids = np.array([END, *(place.get(token, 0) for line in lines for token in line)][:100])
    whole = network.session({"token": ids[None], "lengths": np.array([len(ids)]), "state": network.session.begin()})
    state, largest = step.begin(), 0.0
    for one, logs in zip(ids, whole["log_probabilities"][0], strict=True):
        result = step({"token": one[None], "state": state})
        largest, state = max(largest, _difference(result["log_probabilities"][0], logs)), result["next_state"]
    return largest


def _difference(a: Any, b: Any) -> float:
    return float(np.abs(a - b).max(initial=0.0))
