"""Runs models that `elman export --to onnx` wrote. Copy this file: it needs numpy and onnxruntime, and nothing else.

    tagger = Network("tagger.onnx")
    tagger.answers([tagger.tokens("Ada lives in London")])     # [(tags, log-probabilities)]

What a graph is fed, and what its numbers mean, is in the metadata of its file; docs/export-onnx.md describes both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Feeds = dict[str, NDArray[Any]]
TOKENS = 500  # of a batch, padding included
STEPS = 500  # of a running text at once
END = 1  # the id of the end of a line or of a sequence; 0 is what is unknown


class Session:
    """A graph, on one thread unless more are given, with what its file says about it."""

    def __init__(self, file: str | Path | bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors: what the optimizer says about graphs is not for users
        graph = file if isinstance(file, bytes) else str(file)
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.about: dict[str, Any] = json.loads(self.session.get_modelmeta().custom_metadata_map["elman"])
        self.outputs = [one.name for one in self.session.get_outputs()]
        self.widths = {one.name: one.shape[-1] for one in self.session.get_inputs()}

    def __call__(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """The outputs by name. Feeds that it has no input for are left out."""
        chosen = {name: value for name, value in feeds.items() if name in self.widths}
        return dict(zip(self.outputs, self.session.run(self.outputs, chosen), strict=True))

    def begin(self) -> Floats:
        """The input `state` before the first step."""
        return np.zeros((0, self.widths["state"]), np.float32)


class Network:
    """A tagger, a classifier, or a language model."""

    def __init__(self, file: str | Path | bytes, threads: int = 1) -> None:
        self.session = Session(file, threads)
        self.about, self.labels = self.session.about, self.session.about["labels"]
        self.inputs = [(one, {item: i for i, item in enumerate(one["items"])}) for one in self.about["inputs"]]
        self.split = splitter(self.about["tokenizer"], self.about["pattern"])

    def tokens(self, text: str) -> list[str]:
        """Of one text. Raises ValueError for one that is longer than the model takes."""
        tokens, longest = self.split(text.lower() if self.about["lowercase"] else text), self.about["longest"]
        if longest and len(tokens) > longest:
            raise ValueError(f"expected at most {longest} tokens, found {len(tokens)}; shorten the text")
        return tokens

    def answers(self, texts: Sequence[Sequence[str]]) -> list[tuple[list[str], Floats]]:
        """For each text, as tokens: its tags, with the log-probabilities of all at each token (tokens, tags); or its
        labels, most probable first, with those of all (labels,)."""
        found: dict[int, tuple[list[str], Floats]] = {}
        for group in batches([len(text) for text in texts]):
            chosen = [texts[i] for i in group]
            found |= zip(group, self._answers(chosen), strict=True)
        return [found[i] for i in range(len(texts))]

    def _answers(self, texts: Sequence[Sequence[str]]) -> Iterator[tuple[list[str], Floats]]:
        result, kind = self.session(self.feeds(texts)), self.about["answer"]
        for i, (text, logs) in enumerate(zip(texts, result["log_probabilities"], strict=True)):
            if kind == "tags":
                yield [self.labels[k] for k in result["tags"][i, : len(text)]], logs[: len(text)]
            elif kind == "label":
                yield [self.labels[result["label"][i]]], logs
            else:
                yield [self.labels[k] for k in np.argsort(-logs, kind="stable") if result["labels"][i, k]], logs

    def scores(self, lines: Sequence[Sequence[str]]) -> list[list[float]]:
        """Of a language model: the log-probability of each token of each line, and of the line's end."""
        ((_, place),) = self.inputs
        rows = [[END, *(place.get(token, 0) for token in line), END] for line in lines]
        if not self.about["carries"]:
            return [self._read(row) for row in rows]
        stream = self._read([END, *(i for row in rows for i in row[1:])])
        return [stream[a:b] for a, b in pairwise(np.cumsum([0, *(len(row) - 1 for row in rows)]))]

    def _read(self, ids: Sequence[int]) -> list[float]:
        """The log-probabilities of all ids but the first."""
        logs: list[float] = []
        state = self.session.begin()
        for start in range(0, len(ids) - 1, STEPS):
            part = np.array(ids[start : start + STEPS + 1])
            read, written = part[:-1], part[1:]
            result = self.session({"token": read[None], "lengths": np.array([len(read)]), "state": state})
            logs += result["log_probabilities"][0, np.arange(len(read)), written].tolist()
            state = result["next_state"]
        return logs

    def feeds(self, texts: Sequence[Sequence[str]]) -> Feeds:
        """The inputs of the graph for a batch of texts, as tokens."""
        feeds: Feeds = {"lengths": np.array([len(text) for text in texts])}
        for one, place in self.inputs:
            if one["of"] == "characters":
                words = {word: i for i, word in enumerate(dict.fromkeys(word for text in texts for word in text))}
                half = one["longest"] // 2
                cut = [word if len(word) <= 2 * half else word[:half] + word[-half:] for word in words] or [""]
                feeds["spelling"] = padded([[words[word] for word in text] for text in texts])
                feeds["characters"] = padded([[place.get(c, 0) for c in word] for word in cut])
                feeds["character_lengths"] = np.array([len(word) for word in cut])
            elif one["of"] == "ngrams":
                grams = [ngrams(text, one["order"], one["edges"]) for text in texts]
                feeds["ngrams"] = padded([[place[gram] for gram in each if gram in place] for each in grams], -1)
            elif one["of"] == "given":
                feeds["given"] = padded([[place.get(w, 0) or place.get(w.lower(), 0) for w in text] for text in texts])
            else:
                form = FORMS[one["of"]]
                feeds[one["of"]] = padded([[place.get(form(word), 0) for word in text] for text in texts])
        return feeds


class Rewriter:
    """An encoder-decoder: its encoder, and the step of its decoder."""

    def __init__(self, encoder: str | Path | bytes, step: str | Path | bytes, threads: int = 1) -> None:
        self.encoder, self.step = Session(encoder, threads), Session(step, threads)
        self.about, self.labels = self.encoder.about, self.encoder.about["labels"]
        self.split = splitter(self.about["tokenizer"], self.about["pattern"])
        self._source = {item: i for i, item in enumerate(self.about["inputs"][0]["items"])}
        self._target = {item: i for i, item in enumerate(self.labels)}

    def symbols(self, text: str, features: Sequence[str] = ()) -> list[str]:
        """Of one source."""
        return [f"<{feature}>" for feature in features] + self.split(text)

    def run(
        self, sources: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None
    ) -> list[tuple[list[str], list[float]]]:
        """For each source, as symbols: the symbols written, each the most probable one, and the log-probability of each
        and of the end; with targets, theirs."""
        feeds, names = self.feeds(sources)
        feeds |= self.encoder(feeds)
        rows, before = np.arange(len(sources)), np.full(len(sources), END)
        most = [max(2 * self.about["longest"] + 10, 3 * len(source)) for source in sources]
        wanted = None
        if targets is not None:
            known = {name: i for i, name in enumerate(names)}
            own = [{*self.labels, *source} for source in sources]  # what another source has cannot be written
            each = zip(own, targets, strict=True)
            wanted = [[*(known.get(s, 0) if s in able else 0 for s in target), END] for able, target in each]
        results: list[tuple[list[str], list[float]]] = [([], []) for _ in sources]
        going = set(range(len(sources)))
        while going:
            result = self.step({**feeds, "token": before})
            logs = result["log_probabilities"]
            if wanted is None:
                before = 1 + logs[:, 1:].argmax(1)  # the unknown symbol is never written
            else:
                before = np.array([row.pop(0) if row else END for row in wanted])
            for i in sorted(going):
                symbols, scores = results[i]
                scores.append(float(logs[i, before[i]]))
                if before[i] != END:
                    symbols.append(names[before[i]])
                if before[i] == END or (wanted is None and len(symbols) >= most[i]):
                    going.remove(i)
            feeds["state"] = result["next_state"]
            if "positions" in result:
                feeds["position"] = result["positions"][rows, :, before]
        return results

    def feeds(self, sources: Sequence[Sequence[str]]) -> tuple[Feeds, list[str]]:
        """What the graphs are fed for a batch, and the symbols by their ids in it: those of the targets, and where the
        network copies, others of the sources."""
        known = dict(self._target)
        ended = [[*symbols, self.labels[END]] for symbols in sources]
        if self.about["copies"]:
            for symbol in (symbol for symbols in ended for symbol in symbols):
                if not is_feature(symbol):
                    known.setdefault(symbol, len(known))
        feeds: Feeds = {
            "lengths": np.array([len(symbols) for symbols in ended]),
            "source": padded([[self._source.get(symbol, 0) for symbol in symbols] for symbols in ended]),
            "features": padded([[is_feature(symbol) for symbol in symbols] for symbols in ended]) > 0,
            "copied": padded([[0 if is_feature(s) else known.get(s, 0) for s in symbols] for symbols in ended]),
        }
        feeds["position"] = np.zeros(feeds["source"].shape, np.float32)
        return feeds, list(known)


def splitter(tokenizer: dict[str, Any], pattern: str | None) -> Callable[[str], list[str]]:
    """What cuts a text into tokens. Subwords need the package tokenizers."""
    if pattern is not None:
        return re.compile(pattern).findall
    from tokenizers import Tokenizer

    subwords = Tokenizer.from_str(json.dumps(tokenizer["tokenizer"]))
    return lambda text: list(subwords.encode(text).tokens)


def shape(word: str) -> str:
    """X for capitals, x for other letters, d for digits, the rest as it is; runs are cut to two."""
    kinds = ["X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word]
    return "".join(c for i, c in enumerate(kinds) if i < 2 or kinds[i - 2 : i] != [c, c])


def _ends(length: int, last: bool) -> Callable[[str], str]:
    return lambda word: word.lower()[-length:] if last else word.lower()[:length]


FORMS: dict[str, Callable[[str], str]] = {"token": str, "lower": str.lower, "shape": shape}
FORMS |= {f"prefix{n}": _ends(n, False) for n in (1, 2, 3)} | {f"suffix{n}": _ends(n, True) for n in (1, 2, 3, 4)}


def ngrams(tokens: Sequence[str], order: int, edges: bool) -> list[str]:
    """Every n-gram of 1 to `order` tokens once; with edges, in lower case, <s> before and </s> after them."""
    row = ["<s>", *(token.lower() for token in tokens), "</s>"] if edges else tokens
    lengths = range(1, order + 1)
    return list(dict.fromkeys(" ".join(row[i : i + n]) for n in lengths for i in range(len(row) - n + 1)))


def is_feature(symbol: str) -> bool:
    """Whether a symbol of a source is not of its text."""
    return len(symbol) > 2 and symbol[0] == "<" and symbol[-1] == ">" and symbol not in ("</s>", "<unknown>")


def padded(rows: Sequence[Sequence[int]], filler: int = 0) -> NDArray[np.int64]:
    """(rows, longest), of at least one column."""
    table = np.full((len(rows), max([1, *map(len, rows)])), filler, np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Texts of similar lengths, about TOKENS in a batch."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and (len(group) + 1) * lengths[i] > TOKENS:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
