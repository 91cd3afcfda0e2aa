"""`Tagger`, and what the taggers trained by the loop share: training, answers, inspection, storage."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from elman.errors import DataError, UsageError, quoted
from elman.layers.characters import LONGEST
from elman.layers.crf import CRF
from elman.layers.decoding import Constraint, constraint
from elman.layers.remembered import Remembered
from elman.recurrent import Packed
from elman.recurrent.kernels.native import panels_kept
from elman.recurrent.layers import has_hooks
from elman.tasks import storage
from elman.tasks.examine import (
    Examined,
    Lookup,
    Spelled,
    by_rows,
    form_lookups,
    outputs_of_steps,
    require_one_per_token,
)
from elman.tasks.model import NetworkModel
from elman.tasks.plan import Plan, Tags, Text
from elman.tasks.tagging.base import TaggingModel, TagPrediction
from elman.tasks.tagging.config import TaggerConfig
from elman.tasks.tagging.data import END, Vocabularies, ended
from elman.tasks.tagging.job import EVALUATION_TOKENS, TaggerJob, scheme_of, tags_of
from elman.tasks.tagging.modules import RecurrentTaggerNetwork, TaggerNetwork
from elman.tasks.tagging.session import TaggerReading, TaggerSession
from elman.tasks.transfer import Rows, form_rows
from elman.tasks.vectors import given_or_old, stored_given, write_given
from elman.text import Sentence
from elman.text.batching import batches_by_tokens
from elman.text.vocabulary import Vocabulary
from elman.training import Job, RunFolder


class NetworkTagger(TaggingModel, NetworkModel[Sequence[Sentence]]):
    """A tagger trained by the loop."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._vocabularies: Vocabularies | None = None
        self._remembered: Remembered | None = None
        self._modules: tuple[nn.Module, ...] = ()  # of the network, in whose place a walk through it would do

    def _make(self, vectors: Tensor | None, legal: Constraint | None, stored: bool) -> TaggerNetwork:
        """The network, its weights drawn at random. stored: custom cells are those of the model folder."""
        raise NotImplementedError

    def _begin(
        self,
        train: Sequence[Sentence],
        dev: Sequence[Sentence] | float | None,
        test: Sequence[Sentence] | None,
        old: Self | None,
        run: RunFolder,
    ) -> tuple[Job, dict[str, Any]]:
        chosen, dev, test = self._parts(train, dev, test, self.settings.training.seed)
        self.scheme = scheme_of(self.settings.model.scheme, chosen)
        words, vectors = given_or_old(self.settings.model.vectors, old)
        self._vocabularies = Vocabularies.of(chosen, words, None if old is None else old.vocabularies)
        self._seeded(lambda: self._make(vectors, self._legal(), stored=False))
        inputs = {"cell file": self._source, "word vectors": None if vectors is None else vectors.numpy().tobytes()}
        job = TaggerJob(self.network, self.vocabularies, self.settings, self.scheme, chosen, dev, inputs)
        return job, {"dev": dev, "test": test}

    def _legal(self) -> Constraint | None:
        return None if self.scheme is None else constraint(self.vocabularies.tags.items, self.scheme)

    # Use --------------------------------------------------------------------------------------------------------

    @property
    def vocabularies(self) -> Vocabularies:
        """The numbering of words, characters and tags."""
        if self._vocabularies is None:
            raise UsageError("this tagger is not trained yet; call fit(train, dev), or elman.load(folder)")
        return self._vocabularies

    @property
    def labels(self) -> list[str]:
        """Every tag it can predict, in the order of its scores."""
        return list(self.vocabularies.tags.items)

    @property
    def known_words(self) -> Container[str]:
        return set(self.vocabularies.words.items[1:])

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """See `Model.remembering`: what depends on a word alone, for as many words as fit into 64 MB."""
        before = self._remembered, self._modules
        self._remembered, self._modules = self._words(), tuple(self.network.modules())
        try:
            with panels_kept(self.network):
                yield
        finally:
            self._remembered, self._modules = before

    def _words(self) -> Remembered:
        network, vocabularies = self.evaluated, self.vocabularies
        return Remembered(lambda words: network.prepare(vocabularies.batch([[word] for word in words])))

    def _answers(self, texts: list[list[str]], probabilities: bool, nbest: int) -> list[TagPrediction]:
        """Batched by length."""
        network, answers = self.evaluated, [TagPrediction([])] * len(texts)
        words = self._remembered
        if words is None and sum(map(len, texts)) > FEW:
            words = self._words()
        if words is not None and any(map(has_hooks, self._modules or network.modules())):  # which see every word
            words = None
        with torch.inference_mode():
            for group in batches_by_tokens([len(text) for text in texts], EVALUATION_TOKENS):
                chosen = [texts[i] for i in group]
                if words is None:
                    batch = self.vocabularies.batch(chosen, delay=network.delay)
                    layout, scores = batch.sentences, batch.sentences.with_data(network(batch))
                else:
                    layout = longer = Packed.plan([len(text) for text in chosen])
                    if network.delay:
                        chosen, longer = ended(chosen, network.delay)
                    index, tables = words.rows([word for text in chosen for word in text])
                    scores = network.run_prepared(longer.with_data(index[longer.data]), tables)
                if not probabilities and not nbest:
                    tagged = tags_of(network, self.vocabularies, layout, scores)
                    predictions = [TagPrediction(tags) for tags in tagged]
                else:
                    predictions = self._explain(scores, probabilities, nbest)
                for i, answer in zip(group, predictions, strict=True):
                    answers[i] = answer
        return answers

    def _explain(self, emissions: Packed, probabilities: bool, n: int) -> list[TagPrediction]:
        names = self.vocabularies.tags.items
        best, chances, paths = self.network.explain(emissions, max(n, 1))
        chosen = chances.gather(1, best.unsqueeze(1)).squeeze(1)
        tags = emissions.with_data(best).to_list()
        scores = emissions.with_data(chosen).to_list()
        answers = []
        where = torch.argsort(emissions.order).tolist()
        for i, (ids, p) in enumerate(zip(tags, scores, strict=True)):
            ways = [([names[k] for k in path], float(torch.tensor(s).exp())) for path, s in paths[where[i]]]
            answers.append(
                TagPrediction(
                    [names[k] for k in ids.tolist()],
                    p.tolist() if probabilities else None,
                    ways if n else None,
                )
            )
        return answers

    def plan(self) -> Plan:
        if self.evaluated.delay:
            raise UsageError("export: answers that come later than their word cannot leave Python; train without delay")
        inputs, layers, head, path = self.evaluated.plan(self.vocabularies)
        answer = Tags(tuple(self.labels), path)
        return Plan(self.task, self.kind, Text({"kind": "space"}), inputs, layers, None, (head,), answer)

    # Inspection -------------------------------------------------------------------------------------------------

    def read_text(self, text: str) -> tuple[list[str], None]:
        """The words of a text, between spaces."""
        return text.split(), None

    def examine(self, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None) -> Examined:
        """Sentences with a tag for every word; if none are given, the tagger's own. See `Examined`.

        With a CRF there is one loss for the whole sentence. What reaches an output is then the part of its gradient
        that passes through the output's scores; the gradient of the transitions is the rest.
        Raises DataError for a tag it does not have."""
        texts = [[word for word in text if word != END] for text in texts]
        targets = [answer.tags for answer in self.predict(texts)] if targets is None else targets
        names = self.vocabularies.tags
        for tag in sorted({tag for sentence in targets for tag in sentence if tag not in names}):
            raise DataError(f"expected one of the tags {quoted(names.items)}, found {tag!r}")
        require_one_per_token(texts, targets)
        network: TaggerNetwork = self.evaluated
        batch = self.vocabularies.batch(texts, targets, network.delay)
        assert batch.tags is not None
        lookups, width, spelled = [], network.words.output_size, None
        if network.words.size:
            lookups.append(Lookup("words.embedding.weight", batch.words, 0, network.words.size))
        if network.characters is not None and batch.spellings is not None:
            table, end = "characters.embedding.embedding.weight", width + network.characters.output_size
            spelled = Spelled(table, batch.spellings.characters, batch.spellings.word, width, end)
            width = end
        if network.forms is not None:
            ids = network.forms.ids(batch.distinct)[batch.index]
            lookups += form_lookups(network.forms, ids, width)
        return Examined(
            layout=batch.layout,
            tokens=[[*text, *([END] * network.delay)] for text in texts],
            outputs=outputs_of_steps(batch.sentences, network.delay),
            answers=batch.tags.unsqueeze(1).tolist(),
            targets=by_rows(batch.sentences, targets),
            labels=names.items,
            lookups=tuple(lookups),
            run=lambda: network.outcome(batch),
            spelled=spelled,
            delay=network.delay,
            extras={} if network.crf is None else {"transitions": _transitions(network.crf, names.items)},
        )

    def _describe_network(self, what: str) -> list[str]:
        head = "a linear-chain CRF" if self.settings.model.crf else "a softmax at each word"
        parameters = sum(p.numel() for p in self.network.parameters())
        return self._describe(f"{what}, {head}; {parameters:,} parameters")

    # The model folder -------------------------------------------------------------------------------------------

    def vocabulary_files(self) -> Mapping[str, Vocabulary | None]:
        return {name: getattr(self.vocabularies, name) for name in VOCABULARIES}

    def _write_more(self, path: Path) -> None:
        write_given(path, self.network.words.vectors)

    def _restore(self, path: Path) -> None:
        vectors = stored_given(path)
        names = VOCABULARIES if vectors is not None else VOCABULARIES[:-1]
        vocabularies = {name: storage.read_vocabulary(path / f"{name}.json") for name in names}
        self._vocabularies = Vocabularies.loaded(**vocabularies)
        self._load_network(path, lambda: self._make(vectors, self._legal(), stored=True))

    def weight_rows(self) -> Mapping[str, Rows]:
        tags, words = Rows("tags", self.vocabularies.tags), Rows("words", self.vocabularies.words)
        characters = Rows("characters", self.vocabularies.characters)
        both = tags._replace(columns=self.vocabularies.tags)
        crf = {"crf.transitions": both, "crf.": tags} if self.settings.model.crf else {}
        forms = form_rows(self.network.forms)
        return {"words.": words, "characters.embedding.": characters, "out.": tags, **forms, **crf}


class Tagger(NetworkTagger):
    """A tag for every word, by a recurrent network over words and their characters.

        tagger = Tagger(cell="lstm", epochs=5).fit(train, dev, out="my-tagger")
        tagger(["Ada", "lives", "in", "London"])

    Settings are those of `TaggerConfig` (the network) and `TrainingConfig` (how it is trained), with the same names and
    defaults as on the command line. Raises UsageError for an unknown setting, naming the nearest real one.
    """

    config = TaggerConfig
    added_settings = {"form_size": 0, "delay": None}

    def _make(self, vectors: Tensor | None, legal: Constraint | None, stored: bool) -> TaggerNetwork:
        model = self.settings.model
        cells = self._cells(model.cell, model.char_cell, stored=stored)
        return RecurrentTaggerNetwork(model, cells, self.vocabularies, vectors, legal)

    def session(self, saved: bytes | None = None) -> TaggerSession:
        """A sentence that is still coming, tagged word by word; see `Model.session`.

        Raises UsageError for a tagger that reads in both directions."""
        reading = self._shared_reading(lambda: TaggerReading(self.network, self.vocabularies))
        return TaggerSession(reading, saved)

    @property
    def longest_word(self) -> int | None:
        return LONGEST if self.settings.model.char_size else None

    def describe(self) -> list[str]:
        model = self.settings.model
        direction = "one direction" if model.one_way else "both directions"
        direction += f", a delay of {model.delay} words" if model.delay else ""
        return self._describe_network(
            f"{model.layers} layer(s) of `{model.cell}`, {model.hidden_size} wide, {direction}"
        )


FEW = 200  # words: so few, unless they are remembered, are read faster as they stand than each once
VOCABULARIES = ("words", "characters", "tags", "vectors")


def _transitions(crf: CRF, labels: Sequence[str]) -> dict[str, Any]:
    """The arguments of the figure of this name."""
    legal = crf.legal_transitions.numpy() if crf.constrained else None
    return {"labels": list(labels), "scores": crf.transitions.detach().double().numpy(), "legal": legal}
