"""A recurrent network and a rival that says the same of every bit."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import torch
from torch import nn

from elman.errors import DataError
from elman.metrics.significance import ratio
from elman.recurrent import Packed, recurrent_stack
from elman.tasks import storage
from elman.tasks.examine import Examined, Lookup, Outcome, by_rows, outputs_of_steps
from elman.tasks.jobs import Lazy, depends_on, epoch_seed
from elman.tasks.measure import Measure
from elman.tasks.model import CountedModel, Model, NetworkModel
from elman.text.batching import batches_by_tokens
from elman.text.vocabulary import Vocabulary
from elman.training import Job
from parity.config import ConstantConfig, ParityConfig

SIDES = ["even", "odd"]


class Score(msgspec.Struct):
    right: int
    total: int

    def to_json(self):
        return {"accuracy": self.right / self.total, "bits": self.total, "signature": "parity"}


class Base(Model[list]):
    """It is trained on pairs: a list of bits, and a list of sides."""

    task = "parity"

    def parts(self, train, dev, test):
        train = list(train)
        if isinstance(dev, float):
            cut = len(train) - round(dev * len(train))
            train, dev = train[:cut], train[cut:]
        if not train:
            raise DataError("expected bits, found none")
        return train, {"dev": dev, "test": test}

    def rows(self, data):
        answers = self.answer([bits for bits, _ in data])
        return [[sum(a == b for a, b in zip(*pair, strict=True)), len(pair[0])] for pair in self.paired(answers, data)]

    def paired(self, answers, data):
        return zip(answers, [sides for _, sides in data], strict=True)

    def evaluate(self, data):
        return Score(*np.sum(self.rows(data), 0).tolist())

    def statistics(self, data):
        return np.array(self.rows(data))

    measure = Measure("accuracy", ratio, unit="bits")
    labels = SIDES

    def describe(self):
        return [f"It tells odd from even: the model {self.kind}."]

    def usage(self, name):
        return ["import elman", f'elman.load("{name}").answer([["1", "0"]])']

    @staticmethod
    def score_rows(result):
        return [("accuracy", f"{100 * result['accuracy']:.2f} %")]

    def vocabulary_files(self):
        return {"sides": Vocabulary(SIDES)}


class Network(nn.Module):
    def __init__(self, config, cell):
        super().__init__()
        self.embedding = nn.Embedding(2, 4)
        self.layers = recurrent_stack(cell, 4, config.hidden_size, config.layers)
        self.out = nn.Linear(self.layers.output_size, 2)

    def forward(self, ids):
        return self.out(self.layers(ids.with_data(self.embedding(ids.data)))[0].data)


def packed(lists):
    plan = Packed.plan([len(one) for one in lists])
    return plan.with_data(torch.tensor([i for one in lists for i in one], dtype=torch.long)[plan.data])


def numbers(data):
    return [[int(bit) for bit in bits] for bits in data]


class ParityJob(Job):
    def __init__(self, model, train, dev):
        self.network, self.settings, self.model = model.network, model.settings, model
        self.train, self.dev, self.metric = train, dev, None if dev is None else "accuracy"

    def fingerprint(self):
        hashes = [
            None if data is None else hashlib.sha256(repr(data).encode()).hexdigest() for data in (self.train, self.dev)
        ]
        return depends_on(self.settings.model, *hashes, {"cell file": self.model._source})

    def batches(self, epoch):
        training = self.settings.training
        sizes = [len(bits) for bits, _ in self.train]
        groups = batches_by_tokens(sizes, training.batch_tokens, epoch_seed(training.seed, epoch))
        return Lazy(len(groups), lambda i: [self.train[k] for k in groups[i]])

    def loss(self, batch):
        ids, gold = (
            packed(numbers(bits for bits, _ in batch)),
            packed([[SIDES.index(s) for s in one] for _, one in batch]),
        )
        return nn.functional.cross_entropy(self.network(ids), gold.data, reduction="sum"), len(gold.data)

    def score(self):
        return {"accuracy": self.model.evaluate(self.dev).to_json()["accuracy"]}


class Parity(Base, NetworkModel[list]):
    config = ParityConfig

    def _begin(self, train, dev, test, old, run):
        train, scored = self.parts(train, dev, test)
        cells = self._cells(self.settings.model.cell)
        self._seeded(lambda: Network(self.settings.model, *cells))
        return ParityJob(self, train, scored["dev"]), scored

    def weight_rows(self):
        return {}

    def answer(self, texts):
        ids = packed(numbers(texts))
        with torch.inference_mode():
            best = ids.with_data(self.evaluated(ids).argmax(-1)).to_list()
        return [[SIDES[i] for i in one.tolist()] for one in best]

    def _restore(self, path):
        cells = self._cells(self.settings.model.cell, stored=True)
        self._load_network(path, lambda: Network(self.settings.model, *cells))

    def read_text(self, text):
        return text.split(), None

    def examine(self, texts, targets=None):
        targets = self.answer(texts) if targets is None else targets
        ids, network = packed(numbers(texts)), self.evaluated
        gold = packed([[SIDES.index(side) for side in sides] for sides in targets])

        def run():
            logs = network(ids).log_softmax(-1)
            losses = -logs.gather(1, gold.data.unsqueeze(1)).squeeze(1)
            return Outcome(losses, None, logs, losses.detach())

        return Examined(
            layout=ids,
            tokens=[list(text) for text in texts],
            outputs=outputs_of_steps(ids),
            answers=gold.data.unsqueeze(1).tolist(),
            targets=by_rows(ids, targets),
            labels=SIDES,
            lookups=(Lookup("embedding.weight", ids.data, 0, 4),),
            run=run,
        )


class Constant(Base, CountedModel[list]):
    kind = "constant"
    config = ConstantConfig

    def _prepare(self, train, dev, test):
        return self.parts(train, dev, test)

    def _estimate(self, data):
        odd = sum(side == "odd" for _, sides in data for side in sides)
        self.side = int(2 * odd > sum(len(sides) for _, sides in data))

    def answer(self, texts):
        return [[SIDES[self.side]] * len(bits) for bits in texts]

    def _weights(self):
        return {"side": torch.tensor(self.side)}

    def _restore(self, path):
        self.side = int(storage.read_tensors(path / "model.safetensors")["side"])
