"""Sequence to sequence as the training loop sees it: batches, a loss, a dev score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from elman.tasks.jobs import Lazy, depends_on, epoch_seed
from elman.tasks.seq2seq.config import Seq2SeqConfig
from elman.tasks.seq2seq.data import Batch, Vocabularies, fingerprint
from elman.tasks.seq2seq.modules import Seq2SeqNetwork
from elman.tasks.settings import Settings
from elman.text.batching import batches_by_tokens
from elman.text.pair import Pair
from elman.training import Excerpt, Job

SCORED = 40  # updates between two dev scores at least, where the number of epochs is not given
Examples = Sequence[tuple[Sequence[str], Sequence[str]]]  # symbols of a source, and of one right target


class Seq2SeqJob(Job):
    """What `elman.training.fit` trains.

    examples: of the training data
    score_dev: the scores of the network on the dev data
    inputs: what else the run depends on, name -> content; None if absent
    """

    network: Seq2SeqNetwork

    def __init__(
        self,
        network: Seq2SeqNetwork,
        vocabularies: Vocabularies,
        settings: Settings[Seq2SeqConfig],
        examples: Examples,
        train: Sequence[Pair],
        dev: Sequence[Pair] | None,
        score_dev: Callable[[], dict[str, float]],
        inputs: Mapping[str, str | bytes | None],
    ) -> None:
        self.network, self.vocabularies, self.settings = network, vocabularies, settings
        self.examples, self.train, self.dev, self.score_dev, self.inputs = examples, train, dev, score_dev, inputs
        self.metric = None if dev is None else "accuracy"
        self.lengths = [len(source) + len(target) + 2 for source, target in examples]
        if dev is not None and settings.training.epochs is None:
            # Many passes over little data: no more of dev is answered than is trained on, and that takes longer.
            updates = -(-sum(self.lengths) // settings.training.batch_tokens)
            self.score_every = max(1, -(-len(dev) // len(examples)), -(-SCORED // updates))

    def fingerprint(self) -> dict[str, str]:
        dev = None if self.dev is None else fingerprint(self.dev)
        return depends_on(self.settings.model, fingerprint(self.train), dev, self.inputs)

    def batches(self, epoch: int) -> Sequence[Batch]:
        training = self.settings.training
        groups = batches_by_tokens(self.lengths, training.batch_tokens, epoch_seed(training.seed, epoch))

        def make(i: int) -> Batch:
            sources, targets = zip(*(self.examples[k] for k in groups[i]), strict=True)
            return self.vocabularies.batch(sources, targets)

        return Lazy(len(groups), make)

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        return self.network.loss(batch), batch.symbols

    def excerpt(self, batch: Batch, sequences: int, steps: int) -> Excerpt:
        """The longest sources, cut short, and the beginnings of their targets: one output is the loss of a target."""
        sources, targets = self.vocabularies.symbols(batch)
        longest = sorted(range(len(sources)), key=lambda i: -len(sources[i]))[:sequences]
        part = self.vocabularies.batch(
            [sources[i][: steps - 1] for i in longest], [targets[i][: steps - 1] for i in longest]
        )
        owner = part.read.order[part.read.sequence_of_row]

        def losses() -> Tensor:
            each = self.network.outcome(part).losses
            return each.new_zeros(len(longest)).index_add(0, owner, each)

        return Excerpt(losses, [(i, None) for i in range(len(longest))])

    def score(self) -> dict[str, float]:
        return self.score_dev()
