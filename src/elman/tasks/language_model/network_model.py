"""`LanguageModel`: train, score, sample and save a recurrent language model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from elman.layers.plan import Table
from elman.layers.softmax import log_probabilities
from elman.recurrent import Packed
from elman.recurrent.plan import Affine, array
from elman.tasks.examine import Examined, Lookup, Outcome, by_rows, outputs_of_steps, require_one_per_token
from elman.tasks.language_model.base import BaseLanguageModel, Data, Floats
from elman.tasks.language_model.config import LanguageModelConfig, LanguageModelTraining
from elman.tasks.language_model.data import END, END_ID, counts, line_starts
from elman.tasks.language_model.job import Batch, LanguageModelJob, line_batch
from elman.tasks.language_model.modules import LanguageModelNetwork
from elman.tasks.language_model.next_token import NextToken
from elman.tasks.language_model.sampling import Choice
from elman.tasks.language_model.session import LanguageModelReading, LanguageModelSession
from elman.tasks.model import NetworkModel
from elman.tasks.plan import Next, Plan, Text
from elman.tasks.transfer import Rows
from elman.text.batching import batches_by_tokens
from elman.training import Job, RunFolder

STEPS = 1000  # of a stream, read at once


class LanguageModel(BaseLanguageModel, NetworkModel[Data]):
    """The next token, by a recurrent network over all tokens before it.

        model = LanguageModel(tokenizer="characters", epochs=5).fit("train.txt", "dev.txt", out="my-model")
        model.evaluate("test.txt").perplexity
        "".join(model.sample(100, prompt="The ", seed=1))

    A text is a file path or a list of lines. Settings are those of `LanguageModelConfig` and `LanguageModelTraining`,
    with the same names and defaults as on the command line.
    """

    config = LanguageModelConfig
    training = LanguageModelTraining

    def _begin(
        self, train: Data, dev: Data | float | None, test: Data | None, old: Self | None, run: RunFolder
    ) -> tuple[Job, dict[str, Any]]:
        """During training, the numbered texts are stored in DIR/training, so that a text may be larger than memory."""
        texts = self._texts(train, dev, test, old)
        corpora = {
            part: None if text is None else self.corpus(text, run.training / f"{part}.ids")
            for part, text in texts.items()
        }
        train_ids = corpora.pop("train")
        assert train_ids is not None
        cells = self._cells(self.settings.model.cell)
        self._seeded(lambda: LanguageModelNetwork(self.settings.model, cells[0], len(self.vocabulary)))
        self.network.begin_with(torch.from_numpy(counts(train_ids.ids, len(self.vocabulary))))
        inputs = {"cell file": self._source, "vocabulary": "\n".join(self.vocabulary.items)}
        return LanguageModelJob(self.network, self.settings, train_ids, corpora["dev"], inputs), corpora

    def weight_rows(self) -> Mapping[str, Rows]:
        tokens = Rows("tokens", self.vocabulary)
        return {"embedding": tokens, "bias": tokens} | ({} if self.settings.model.tied else {"writer": tokens})

    @property
    def carries(self) -> bool:
        return not self.settings.model.lines

    @property
    def labels(self) -> list[str]:
        """Every token it can predict, in the order of its scores."""
        return list(self.vocabulary.items)

    @property
    def training_window(self) -> int | None:
        return self.settings.training.bptt if self.carries else None

    def start(self) -> Any:
        return (END_ID, None)

    def read(self, ids: np.ndarray[Any, Any], state: Any) -> tuple[Floats, Any]:
        network: LanguageModelNetwork = self.evaluated
        result = np.empty(len(ids))
        with torch.inference_mode():
            if not self.carries:
                starts = line_starts(ids)
                for group in batches_by_tokens(np.diff(starts).tolist(), 4 * STEPS):
                    batch = line_batch(ids, starts, group)
                    rows = batch.ids.with_data(self._log(network, batch, None)[0]).to_list()
                    for i, row in zip(group, rows, strict=True):
                        result[starts[i] : starts[i + 1]] = row
                return result, state
            last, carried = state
            for first in range(0, len(ids), STEPS):
                piece = np.array(ids[first : first + STEPS], np.int64)
                before = torch.from_numpy(np.concatenate([[last], piece[:-1]]))
                layout = Packed(before, [1] * len(piece), [len(piece)], torch.zeros(1, dtype=torch.long))
                logs, carried = self._log(network, Batch(layout, torch.from_numpy(piece), False, len(piece)), carried)
                result[first : first + len(piece)] = logs
                last = int(piece[-1])
        return result, (last, carried)

    def _log(self, network: LanguageModelNetwork, batch: Batch, state: Any) -> tuple[torch.Tensor, Any]:
        _, ys, state = network(batch.ids, state)
        h = network.read_out(ys.data)
        return log_probabilities(h, network.output_weight, network.bias, batch.targets), state

    def session(self, saved: bytes | None = None) -> LanguageModelSession:
        """A text that is still coming, with what may come next; see `Model.session`."""
        reading = self._shared_reading(lambda: LanguageModelReading(self.network, self.vocabulary, self.carries))
        return LanguageModelSession(reading, saved)

    def next_distribution(self, context: str = "") -> Floats:
        """The probability of every token of the vocabulary after the context: (vocabulary,), sums to 1."""
        following = NextToken(self.evaluated)
        for token in [END, *self._tokens(context)]:
            logits = following(self.vocabulary[token])
        return torch.from_numpy(logits).double().softmax(0).numpy()

    def _sample(self, tokens: int, prompt: str, choice: Choice, precision: str) -> Iterator[str]:
        context = [END, *self._tokens(prompt)]
        following = NextToken(self.evaluated, precision)
        return self._pieces(self._drawn(tokens, context, choice, following), begun=context[-1] != END)

    def _drawn(self, tokens: int, context: list[str], choice: Choice, following: NextToken) -> Iterator[int]:
        for token in context[:-1]:
            following(self.vocabulary[token])
        last = self.vocabulary[context[-1]]
        for _ in range(tokens):
            if last == END_ID and not self.carries:
                following.reset()
            logits = following(last)
            logits[0] = -np.inf  # <unk> is not a word that can be output
            last = choice.draw(logits)
            yield last

    def _tokens(self, text: str) -> list[str]:
        """The tokens of a text that may have several lines; its last line is unfinished."""
        lines = text.split("\n")
        return [token for i, line in enumerate(lines) for token in ([END] if i else []) + self.tokenizer.split(line)]

    def read_text(self, text: str) -> tuple[list[str], list[str]]:
        """(what is read, what comes next): the tokens of a text of any number of lines, with a line end before the
        first and after the last."""
        tokens = [END, *self._tokens(text), END]
        return tokens[:-1], tokens[1:]

    def examine(self, texts: Sequence[Sequence[str]], targets: Sequence[Sequence[str]] | None = None) -> Examined:
        """Tokens as read, each text from a fresh state, and what comes next; if that is not given, the next one read,
        and for the last the likeliest. See `Examined`.

        What is not in the vocabulary is read and scored as <unk>."""
        network: LanguageModelNetwork = self.evaluated
        number = self.vocabulary.ids
        plan = Packed.plan([len(text) for text in texts])
        read = torch.tensor([i for text in texts for i in number(text)], dtype=torch.long)[plan.data]
        ids = plan.with_data(read)
        if targets is None:
            with torch.no_grad():
                best = ids.with_data(network.log_probabilities(ids).argmax(-1)).to_list()
            targets = [
                [*text[1:], *(self.vocabulary.items[int(i)] for i in guess[-1:])]
                for text, guess in zip(texts, best, strict=True)
            ]
        require_one_per_token(texts, targets)
        written = torch.tensor([i for text in targets for i in number(text)], dtype=torch.long)[plan.data]
        size = network.embedding.shape[1]

        def run() -> Outcome:
            logs = network.log_probabilities(ids)
            losses = -logs.gather(1, written.unsqueeze(1)).squeeze(1)
            return Outcome(losses, None, logs, losses.detach())

        return Examined(
            layout=plan,
            tokens=[list(text) for text in texts],
            outputs=outputs_of_steps(plan),
            answers=written.unsqueeze(1).tolist(),
            targets=by_rows(plan, targets),
            labels=self.vocabulary.items,
            lookups=(Lookup("embedding", read, 0, size),),
            run=run,
            annotated=False,
        )

    def plan(self) -> Plan:
        network: LanguageModelNetwork = self.evaluated
        table, items = array(network.embedding), tuple(self.vocabulary.items)
        writer = table if network.writer is None else array(network.writer)  # one array where they are tied
        head: tuple[Affine, ...] = (Affine(writer, array(network.bias)),)
        if network.projection is not None:
            projection = array(network.projection.weight)
            head = (Affine(projection, np.zeros(len(projection), np.float32)), *head)
        inputs, text = (Table("token", items, table),), Text(self.tokenizer.to_json())
        answer = Next(items, self.carries)
        return Plan(self.task, self.kind, text, inputs, network.layers.plan(), None, head, answer)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        (cell,) = self._cells(self.settings.model.cell, stored=True)
        self._load_network(path, lambda: LanguageModelNetwork(self.settings.model, cell, len(self.vocabulary)))

    def describe(self) -> list[str]:
        settings, network = self.settings.model, self.network
        parameters = sum(p.numel() for p in network.parameters())
        size = settings.embedding_size or settings.hidden_size
        projected = 0 if network.projection is None else network.projection.weight.numel()
        saved = len(self.vocabulary) * settings.hidden_size - projected
        tied = f", {saved:,} fewer because one matrix reads and writes tokens" if settings.tied else ""
        context = "Each line is read independently." if settings.lines else "Lines are one continuous stream."
        return [
            f"A language model of {len(self.vocabulary):,} tokens ({settings.tokenizer}), made with [elman]: "
            f"{settings.layers} layer(s) of `{settings.cell}`, {settings.hidden_size} wide, over vectors of size "
            f"{size}; {parameters:,} parameters{tied}. {context}"
        ]
