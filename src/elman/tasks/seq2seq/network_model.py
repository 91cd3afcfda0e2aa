"""`Seq2Seq`: train, search, score and save an encoder-decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from elman.errors import UsageError
from elman.recurrent.plan import Affine, Recurrence, affine, array
from elman.tasks import storage
from elman.tasks.examine import Examined, Lookup
from elman.tasks.model import NetworkModel
from elman.tasks.plan import Rewriting, Text
from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.base import Seq2SeqModel
from elman.tasks.seq2seq.config import Seq2SeqConfig, Seq2SeqTraining
from elman.tasks.seq2seq.data import END, Batch, Vocabularies, require_targets
from elman.tasks.seq2seq.inventing import invent
from elman.tasks.seq2seq.job import Examples, Seq2SeqJob
from elman.tasks.seq2seq.modules import Seq2SeqNetwork
from elman.tasks.seq2seq.search import Hypothesis, search
from elman.tasks.transfer import Rows
from elman.text.batching import batches_by_tokens
from elman.text.pair import Pair
from elman.text.vocabulary import Vocabulary
from elman.training import Job, RunFolder

SYMBOLS = 4000  # of sources, times the beam, searched at once


class Seq2Seq(Seq2SeqModel, NetworkModel[Iterable[Pair]]):
    """One sequence to another, by a recurrent encoder, a recurrent decoder, and attention between them.

        model = Seq2Seq(attention="hard", monotonic=True).fit(train, dev, out="my-model")
        model("geese")

    Settings are those of `Seq2SeqConfig` (the network) and `Seq2SeqTraining` (how it is trained), with the same names
    and defaults as on the command line. Raises UsageError for an unknown one, naming the nearest real one.
    """

    config = Seq2SeqConfig
    training = Seq2SeqTraining

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._vocabularies: Vocabularies | None = None
        self.ensemble: list[Seq2Seq] = []

    def _begin(
        self,
        train: Iterable[Pair],
        dev: Iterable[Pair] | float | None,
        test: Iterable[Pair] | None,
        old: Self | None,
        run: RunFolder,
    ) -> tuple[Job, dict[str, Any]]:
        data = self._parts(train, dev, test, self.settings.training.seed, old)
        examples = self._examples(data.train)
        model = self.settings.model
        known = None if old is None else old.vocabularies
        self._vocabularies = Vocabularies.of(examples, model.minimum, model.shared, known)
        cells = self._cells(model.cell, model.decoder_cell or model.cell)
        self._seeded(lambda: Seq2SeqNetwork(model, cells[0], cells[1], self.vocabularies))
        training = self.settings.training
        examples = [*examples, *invent(examples, training.invented, training.seed)]
        inputs = {"cell file": self._source, "subwords": self._subwords()}
        job = Seq2SeqJob(
            self.network,
            self.vocabularies,
            self.settings,
            examples,
            data.train,
            data.dev,
            lambda: self._dev_scores(data.dev or []),
            inputs,
        )
        return job, {"dev": data.dev, "test": data.test}

    def _examples(self, pairs: Sequence[Pair]) -> Examples:
        cut = self.target_tokenizer.split
        return [(self.source(pair).read(), cut(target)) for pair in pairs for target in pair.targets or ()]

    def _subwords(self) -> str | None:
        both = self.source_tokenizer.to_json(), self.target_tokenizer.to_json()
        return repr(both) if any(one["kind"] == "subwords" for one in both) else None

    def _dev_scores(self, dev: Sequence[Pair]) -> dict[str, float]:
        """Greedy answers, whatever the search will be: they are a fifth of the work of a beam."""
        result = self._scored(dev, SearchSettings(beam=1)).result()
        return {"accuracy": result.accuracy or 0.0, "symbol_error_rate": result.symbol_error_rate or 0.0}

    @property
    def vocabularies(self) -> Vocabularies:
        """The numbering of symbols."""
        return self._require_trained(self._vocabularies)

    def with_others(self, others: Iterable[Seq2Seq]) -> Self:
        """Search with these models too: at each step the mean of all distributions counts; returns self.

        Raises UsageError unless all have the same target symbols and split texts alike."""
        others = list(others)
        for other in others:
            mine, its = self.vocabularies.target.items, other.vocabularies.target.items
            if mine != its or self._sides() != other._sides():
                raise UsageError(
                    "an ensemble: expected models of the same symbols, which split texts alike, found "
                    f"{len(mine)} and {len(its)} target symbols; train them on the same data with other seeds"
                )
        self.ensemble = others
        return self

    def _sides(self) -> tuple[Any, Any]:
        return self.source_tokenizer.to_json(), self.target_tokenizer.to_json()

    def _answers(self, sources: Sequence[Source], settings: SearchSettings) -> list[list[Answer]]:
        answers: list[list[Answer]] = [[] for _ in sources]
        assert settings.beam is not None
        read = [source.read() for source in sources]
        budget = max(SYMBOLS // max(settings.beam, settings.nbest), 1)
        models = [self, *self.ensemble]
        with torch.inference_mode():
            for group in batches_by_tokens([len(symbols) + 1 for symbols in read], budget):
                limits = [settings.max_length or max(2 * self._longest + 10, 3 * len(read[i])) for i in group]
                batches = [model.vocabularies.sources([read[i] for i in group]) for model in models]
                found = search(
                    [model.evaluated for model in models],
                    batches,
                    settings,
                    limits,
                    [sources[i].text for i in group],
                )
                for i, best in zip(group, found, strict=True):
                    answers[i] = [self._answer(one, batches[0].extra) for one in best]
        return answers

    def _answer(self, one: Hypothesis, extra: Sequence[str]) -> Answer:
        items = self.vocabularies.target.items
        symbols = [items[i] if i < len(items) else extra[i - len(items)] for i in one.ids]
        text = self.target_tokenizer.join(symbols)
        return Answer(text, symbols, one.score, one.log_probability, one.complete, one.places)

    def log_probabilities(self, data: Iterable[Pair]) -> NDArray[np.float64]:
        """(symbols,) the natural log-probability of every symbol of every pair's first target, and of its end.

        Raises DataError when a pair has no target."""
        pairs = list(data)
        require_targets(pairs, "scored data")
        cut = self.target_tokenizer.split
        examples = [(self.source(pair).read(), cut((pair.targets or [""])[0])) for pair in pairs]
        result: list[NDArray[np.float64]] = [np.zeros(0)] * len(pairs)
        lengths = [len(source) + len(target) + 2 for source, target in examples]
        with torch.inference_mode():
            for group in batches_by_tokens(lengths, SYMBOLS):
                sources, targets = zip(*(examples[i] for i in group), strict=True)
                batch = self.vocabularies.batch(sources, targets)
                rows = batch.read.with_data(self.evaluated.log_probabilities(batch)).to_list()
                for i, row in zip(group, rows, strict=True):
                    result[i] = row.double().numpy()
        return np.concatenate(result)

    @property
    def labels(self) -> list[str]:
        """Every symbol of its vocabulary, in the order of its scores; what it only copies is none of them."""
        return list(self.vocabularies.target.items)

    def read_text(self, text: str) -> tuple[list[str], None]:
        """The symbols of a source, and the end."""
        return [*self.source(Pair(text)).read(), END], None

    def read_pair(self, pair: Pair) -> tuple[list[str], list[str] | None]:
        """The symbols of the source, its features first, and the end; those of the first target, or None."""
        target = self.target_tokenizer.split(pair.targets[0]) if pair.targets else None
        return [*self.source(pair).read(), END], target

    def examine(self, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None) -> Examined:
        """Symbols of sources, each with one output for every symbol of its target and the end; if none are given, the
        model's own greedy answers. The recurrent layers that are shown are the encoder's. See `Examined`."""
        read = [list(text)[:-1] if list(text[-1:]) == [END] else list(text) for text in texts]
        if targets is None:
            sources = [Source(symbols, (), "") for symbols in read]
            targets = [best[0].symbols for best in self._answers(sources, SearchSettings(beam=1).settled(False))]
        wanted = [list(one)[:-1] if list(one[-1:]) == [END] else list(one) for one in targets]
        batch = self.vocabularies.batch(read, wanted)
        network: Seq2SeqNetwork = self.evaluated
        order = batch.read.order[batch.read.sequence_of_row].tolist()
        steps = batch.read.position_of_row.tolist()
        ended = [[*one, END] for one in wanted]
        return Examined(
            layout=batch.sources.ids,
            tokens=[[*symbols, END] for symbols in read],
            outputs=[(text, None) for text in order],
            answers=batch.copies.unsqueeze(1).tolist() if network.config.copy else batch.targets.unsqueeze(1).tolist(),
            targets=[ended[text][step] for text, step in zip(order, steps, strict=True)],
            labels=[*self.vocabularies.target.items, *(batch.sources.extra if network.config.copy else [])],
            lookups=(Lookup("source.embedding.weight", batch.sources.ids.data, 0, network.config.embedding_size),),
            run=lambda: network.outcome(batch),
            extras=_aligned(network, batch, [*read[0], END], [*wanted[0], END]) if len(read) == 1 else {},
        )

    def about(self) -> dict[str, Any]:
        """Facts about the network, by name."""
        model, sizes = self.settings.model, self.vocabularies
        return super().about() | {
            "decoder": model.decoder_cell or model.cell,
            "attention": f"{model.attention}, monotonic" if model.monotonic else model.attention,
            "source symbols": len(sizes.source),
            "target symbols": len(sizes.target),
        }

    def plan(self) -> Rewriting:
        network, known = self.evaluated, self.vocabularies
        search = SearchSettings().settled(self.long_symbols)
        assert search.beam is not None and search.length_penalty is not None
        assert network.source.embedding is not None
        vectors = array(network.source.embedding.weight)
        written = vectors if self.settings.model.shared else array(network.target.weight)
        writer = written if network.writer is None else array(network.writer)
        return Rewriting(
            self.task,
            self.kind,
            Text(self.source_tokenizer.to_json()),
            Text(self.target_tokenizer.to_json()),
            tuple(known.source.items),
            tuple(known.target.items),
            vectors,
            written,
            network.layers.plan(),
            affine(network.bridge, "tanh"),
            tuple(part for part in network.decoder.plan() if isinstance(part, Recurrence)),
            network.attending(),
            None if network.features is None else array(network.features.weight),
            self.settings.model.input_feeding,
            self.settings.model.output_feedback,
            Affine(writer, array(network.bias)),
            search.beam,
            search.length_penalty,
            self._longest,
        )

    def weight_rows(self) -> Mapping[str, Rows]:
        source = Rows("source symbols", self.vocabularies.source)
        target = Rows("target symbols", self.vocabularies.target)
        return {"source.": source, "target.": target, "writer": target, "bias": target}

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        return {"source": self.vocabularies.source, "target": self.vocabularies.target}

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        source, target = (storage.read_vocabulary(path / f"{side}.json") for side in ("source", "target"))
        model = self.settings.model
        self._vocabularies = Vocabularies.loaded(source, source if model.shared else target)
        cells = self._cells(model.cell, model.decoder_cell or model.cell, stored=True)
        self._load_network(path, lambda: Seq2SeqNetwork(model, cells[0], cells[1], self.vocabularies))

    def _how(self) -> str:
        model = self.settings.model
        cells = f"`{model.cell}`" + (f" and `{model.decoder_cell}`" if model.decoder_cell else "")
        more = [name for name in ("monotonic", "input_feeding", "copy", "output_feedback") if getattr(model, name)]
        attention = f"{model.attention} attention" if model.attention != "none" else "no attention"
        extra = "".join(f", {name.replace('_', ' ')}" for name in more)
        return f"{model.layers} layer(s) of {cells} on each side, {model.hidden_size} wide, {attention}{extra}"


def _aligned(network: Seq2SeqNetwork, batch: Batch, source: list[str], target: list[str]) -> dict[str, Any]:
    """The figure of one pair's alignment, if there is attention."""
    weights = network.alignment(batch)
    if weights is None:
        return {}
    hard = network.config.attention == "hard"
    what = "p(position | source, target)" if hard else "attention weights"
    values = weights.double().numpy()
    return {"alignment": {"weights": values, "sources": source, "targets": target, "what": what}}
