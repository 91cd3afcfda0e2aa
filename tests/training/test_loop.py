from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from elman.errors import UsageError
from elman.training import Job, Result
from elman.training.average import Average

Train = Callable[..., Result]


def by_hand(job: Any, config: Any) -> tuple[dict[str, Tensor], list[float], list[float]]:
    """The same training written out from the papers: final averaged weights, mean loss of each epoch, all norms."""
    torch.manual_seed(config.seed)
    weights = {n: p for n, p in job.network.named_parameters() if p.requires_grad}
    average = {n: p.detach().clone() for n, p in weights.items()}
    first = {n: torch.zeros_like(p) for n, p in weights.items()}
    second = {n: torch.zeros_like(p) for n, p in weights.items()}
    losses, norms = [], []
    t = 0
    job.network.train()
    for epoch in range(config.epochs):
        batches = job.batches(epoch)
        total, count = 0.0, 0
        for i, batch in enumerate(batches):
            loss, tokens = job.loss(batch)
            gradients = dict(zip(weights, torch.autograd.grad(loss / tokens, list(weights.values())), strict=True))
            norm = math.sqrt(sum(float((g * g).sum()) for g in gradients.values()))
            shrink = min(1.0, config.clip / (norm + 1e-6)) if config.clip else 1.0  # as torch documents it
            done = (epoch + i / len(batches)) / config.epochs
            rate = config.learning_rate * (1 - done) * min(1.0, (t + 1) / config.warmup_steps)
            t += 1
            with torch.no_grad():
                for n, p in weights.items():
                    g = gradients[n] * shrink
                    if config.optimizer == "sgd":
                        first[n] = config.momentum * first[n] + g + config.weight_decay * p
                        p -= rate * first[n]
                    else:
                        first[n] = 0.9 * first[n] + 0.1 * g
                        second[n] = 0.999 * second[n] + 0.001 * g * g
                        p -= rate * config.weight_decay * p
                        p -= rate * (first[n] / (1 - 0.9**t)) / ((second[n] / (1 - 0.999**t)).sqrt() + 1e-8)
                    d = min(config.average, t / (9 + t)) if config.average else 0.0
                    average[n] = d * average[n] + (1 - d) * p
            total, count = total + loss.item(), count + tokens
            norms.append(norm)
        losses.append(total / count)
    return average, losses, norms


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_equals_the_loop_written_by_hand(
    tmp_path: Path, toy: ModuleType, train: Train, optimizer: str, average: float, clip: float
) -> None:
    options: dict[str, Any] = {"epochs": 4, "warmup_steps": 2, "weight_decay": 0.1, "learning_rate": 0.05}
    options |= {"optimizer": optimizer, "average": average, "clip": clip}
    job, twin = toy.Toy(), toy.Toy()
    job.metric = None  # the last weights are kept
    job.network.double(), twin.network.double()
    result = train(tmp_path / "m", job=job, **options)
    expected, losses, norms = by_hand(twin, toy.config(**options))
    assert min(norms) < 0.5 < max(norms)  # clipping has something to do, and does not always
    got = load_file(tmp_path / "m" / "model.safetensors")
    assert got.keys() == job.network.state_dict().keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=1e-11, msg=name)
    assert torch.equal(got["fixed.weight"], twin.network.fixed.weight)
    assert [line["loss"] for line in result.history] == pytest.approx(losses, rel=1e-9)
    assert max(norms) == pytest.approx(max(line["grad_norm"]["max"] for line in result.history), rel=1e-9)
    per_epoch = [len(twin.batches(e)) for e in range(4)]
    means = [sum(norms[sum(per_epoch[:e]) : sum(per_epoch[: e + 1])]) / n for e, n in enumerate(per_epoch)]
    assert [line["grad_norm"]["mean"] for line in result.history] == pytest.approx(means, rel=1e-9)


class Scripted(Job):
    """Scores of a toy as a list says."""

    def __init__(self, job: Any, scores: list[float]) -> None:
        self.job, self.scores = job, iter(scores)
        self.network, self.metric = job.network, "accuracy"
        self.fingerprint, self.batches, self.loss = job.fingerprint, job.batches, job.loss
        self.seen: list[dict[str, Tensor]] = []

    def score(self) -> dict[str, float]:
        assert not self.network.training and not torch.is_grad_enabled()
        self.seen.append({n: t.clone() for n, t in self.network.state_dict().items()})
        return {"accuracy": next(self.scores)}


@pytest.mark.parametrize(
    ("scores", "best", "epochs"),
    [
        ([0.1, 0.5, 0.3, 0.5, 0.4, 0.9], 2, 5),  # equal is no improvement; patience 3
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 6),
        ([0.0, 0.0, 0.0, 0.0], 1, 4),
        ([math.nan, 0.1, math.nan, 0.2, 0.1, 0.1], 4, 6),
    ],
)
def test_best_weights_and_early_stopping(
    tmp_path: Path, toy: ModuleType, train: Train, scores: list[float], best: int, epochs: int
) -> None:
    job = Scripted(toy.Toy(), scores)
    result = train(tmp_path / "m", job=job, epochs=6, patience=3)
    assert (result.best_epoch, result.epochs, result.scores) == (best, epochs, {"accuracy": scores[best - 1]})
    assert result.stopped == ("patience" if len(scores) > epochs or epochs < 6 else "epochs")
    kept = load_file(tmp_path / "m" / "model.safetensors")
    assert all(torch.equal(kept[n], t) for n, t in job.seen[best - 1].items())
    assert all(torch.equal(job.network.state_dict()[n], t) for n, t in kept.items())
    assert not job.network.training


def test_dev_data_is_scored_every_few_epochs_and_after_the_last(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    every = train(tmp_path / "every", epochs=8)
    job = toy.Toy()
    job.score_every = 3
    some = train(tmp_path / "some", job=job, epochs=8)
    assert [bool(line["dev"]) for line in some.history] == [False, False, True, False, False, True, False, True]
    scored = {i: line["dev"]["accuracy"] for i, line in enumerate(some.history, 1) if line["dev"]}
    assert all(every.history[i - 1]["dev"]["accuracy"] == value for i, value in scored.items())
    assert some.best_epoch == max(scored, key=lambda i: (scored[i], -i))
    assert [line["loss"] for line in some.history] == [line["loss"] for line in every.history]


def test_patience_waits_for_a_score(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    job = Scripted(toy.Toy(), [0.5, 0.4, 0.9])  # after epochs 3, 6 and 9
    job.score_every = 3
    result = train(tmp_path / "m", job=job, epochs=9, patience=2)
    assert (result.stopped, result.epochs, result.best_epoch) == ("patience", 6, 3)


def test_log_has_a_line_an_epoch(tmp_path: Path, train: Train) -> None:
    result = train(tmp_path / "m", epochs=3)
    lines = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["step"] == result.steps == 6 + 5 + 6
    keys = {"epoch", "step", "loss", "dev", "lr", "grad_norm", "tokens_per_second", "seconds"}
    assert all(line.keys() == keys for line in lines)
    assert not (tmp_path / "m" / "training").exists()


def test_average_is_applied_and_taken_off_bit_for_bit(toy: ModuleType) -> None:
    network = toy.Network()
    average = Average(network, 0.99)
    with torch.no_grad():
        for p in network.parameters():
            p += torch.randn_like(p) / 3
    average.update(0)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    memory = [p.data_ptr() for p in network.parameters()]
    with pytest.raises(ZeroDivisionError), average.applied():
        assert all(torch.equal(p, average.tensors()[n]) for n, p in network.named_parameters() if p.requires_grad)
        assert not torch.equal(network.head.weight, before["head.weight"])
        raise ZeroDivisionError
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())
    assert memory == [p.data_ptr() for p in network.parameters()]


def test_scoring_does_not_disturb_training(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    for name, metric in (("with", "accuracy"), ("without", None)):
        job = Scripted(toy.Toy(), [0.1, 0.2, 0.3, 0.4])
        job.metric = metric
        train(tmp_path / name, job=job, epochs=4)
    assert (tmp_path / "with/model.safetensors").read_bytes() == (tmp_path / "without/model.safetensors").read_bytes()


@pytest.mark.parametrize("poison", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_with_the_step(
    tmp_path: Path, toy: ModuleType, train: Train, poison: str
) -> None:
    class Poisoned(toy.Toy):  # type: ignore[name-defined,misc]
        step = 0

        def loss(self, batch: Tensor) -> tuple[Tensor, int]:
            self.step += 1
            loss, tokens = super().loss(batch)
            if self.step == 9:
                before.update({n: t.clone() for n, t in self.network.state_dict().items()})
                # the square root of zero has a finite value and an infinite slope
                loss = loss * math.nan if poison == "loss" else loss + (self.network.head.bias * 0).sum().sqrt()
            return loss, tokens

    before: dict[str, Tensor] = {}
    job = Poisoned()
    with pytest.raises(UsageError, match=r"step 9: .*learning rate"):
        train(tmp_path / "m", job=job)
    assert all(torch.equal(t, before[n]) for n, t in job.network.state_dict().items())
    train(tmp_path / "m", resume=True)  # the checkpoint is sound


def test_a_job_without_batches_or_without_its_metric(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    job = toy.Toy()
    job.batches = lambda epoch: []
    with pytest.raises(UsageError, match="no batch"):
        train(tmp_path / "a", job=job)
    job = toy.Toy()
    job.metric = "f1"
    with pytest.raises(UsageError, match="'f1', found 'accuracy'"):
        train(tmp_path / "b", job=job)


def test_the_time_limit_ends_on_a_decayed_rate(
    tmp_path: Path, toy: ModuleType, train: Train, clock: Callable[[float], None]
) -> None:
    class Slow(toy.Toy):  # type: ignore[name-defined,misc]
        def loss(self, batch: Tensor) -> tuple[Tensor, int]:
            clock(2.0)
            return super().loss(batch)

    result = train(tmp_path / "m", job=Slow(), epochs=1000, max_time="1m", learning_rate=1.0, warmup_steps=0)
    assert (result.stopped, result.steps, result.seconds) == ("time", 30, 60.0)
    assert (result.epochs, len(result.history)) == (6, 6)  # 6 + 5 + 6 + 5 + 6 batches, and two of the sixth epoch
    assert result.history[-1]["lr"] == pytest.approx(1 - 58 / 60)
    assert result.scores and not (tmp_path / "m" / "training").exists()


def test_the_caller_gets_torch_back_as_it_was(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(tmp_path / "m", epochs=1, threads=threads + 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_two_threads_give_the_same_bits_every_time(tmp_path: Path, toy: ModuleType, train: Train) -> None:
    class Gathering(nn.Module):
        """Its gradient adds into few rows from many places, which two threads do in any order unless told."""

        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.Parameter(torch.arange(64.0 * 20).view(20, 64).sin())

        def forward(self, index: Tensor) -> Tensor:
            return self.rows[index].cos()

    class Wide(toy.Toy):  # type: ignore[name-defined,misc]
        metric = None

        def __init__(self) -> None:
            super().__init__()
            self.network = Gathering()

        def loss(self, batch: Tensor) -> tuple[Tensor, int]:
            weights = torch.arange(4000.0).sqrt().sin()[:, None]
            return (self.network((torch.arange(4000) * 7) % 20) * weights).sum(), len(batch)

    for name in "abc":
        train(tmp_path / name, job=Wide(), epochs=2, threads=2)
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}) == 1
