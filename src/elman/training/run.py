"""A run in training: network, optimizer, average and state together, and how they are saved, restored and scored."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import torch

from elman.config import TrainingConfig
from elman.errors import Interrupted, ModelError, UsageError, quoted
from elman.training import atomic, checkpoint, schedule
from elman.training.average import Average
from elman.training.control import StopRequest, environment, random_states, set_random_states
from elman.training.folder import RunFolder
from elman.training.job import Job
from elman.training.optimizer import load_optimizer, make_optimizer, optimizer_tensors, trainable_device
from elman.training.progress import Progress, StepReport
from elman.training.state import State
from elman.training.watch import Watch

# Options that do not affect the numbers, and threads, whose actual number is in the environment.
_FREE = {"checkpoint_every", "threads"}


class Run:
    """Everything that changes while training. `Run.start` makes a new one or resumes an old one."""

    def __init__(
        self, job: Job, config: TrainingConfig, folder: RunFolder, progress: Progress, watch: Watch | None
    ) -> None:
        self.job, self.config, self.folder, self.progress, self.watch = job, config, folder, progress, watch
        self.network = job.network
        self.device = trainable_device(job.network)
        self.optimizer = make_optimizer(job.network, config)
        self.average = Average(job.network, config.average)
        self.state = State()
        self.epochs = schedule.planned_epochs(config, len(job.batches(0)))
        self.environment = environment(self.device)
        self.fingerprint = dict(job.fingerprint())
        self._clock = self._saved = time.monotonic()

    @classmethod
    def start(
        cls, job: Job, config: TrainingConfig, folder: RunFolder, progress: Progress, watch: Watch | None = None
    ) -> Run:
        """A new run with its first checkpoint written, or the one that `folder` is to resume.

        Raises UsageError that lists what has changed since the checkpoint, ModelError on a broken one.
        """
        run = cls(job, config, folder, progress, watch)
        if folder.resuming and checkpoint.exists(folder.training):
            run._restore()
            progress.note(f"resumed at epoch {run.state.epoch + 1}, step {run.state.step}")
        else:
            if folder.resuming:
                progress.note("there is no checkpoint yet: starting from the beginning")
            folder.clear()
            run.save()
        return run

    # the clock and the schedule

    def tick(self) -> None:
        """Add the time since the last tick to the run's seconds."""
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now

    def out_of_time(self) -> bool:
        return self.config.max_time is not None and self.state.seconds >= self.config.max_time

    def done(self, batches: int) -> float:
        """The part of the run that is done, 0 to 1."""
        state = self.state
        return schedule.progress(
            self.config,
            epochs=self.epochs,
            epoch=state.epoch,
            batch=state.batch,
            batches=batches,
            seconds=state.seconds,
        )

    def report(self, batches: int) -> StepReport:
        """What the progress display shows after a step."""
        state, done = self.state, self.done(batches)
        return StepReport(
            epoch=state.epoch + 1,
            epochs=self.epochs,
            step=state.step,
            done=done,
            loss=state.sums.mean_loss,
            tokens_per_second=state.sums.tokens_per_second,
            seconds_left=state.seconds * (1 - done) / done if done else None,
            metric=self.job.metric,
            best=state.best,
        )

    def watched(self, batch: Any) -> AbstractContextManager[None]:
        """Around a step of the optimizer, for the observer, if any."""
        return nullcontext() if self.watch is None else self.watch.step(self.job, batch)

    # the end of an epoch

    def end_epoch(self, batches: int) -> None:
        """Score the averaged weights, keep them if best, write the log line, and check whether training is over."""
        state = self.state
        self.network.eval()
        with self.average.applied(), torch.no_grad():
            due = self._score_is_due()
            scores = {name: float(value) for name, value in self.job.score().items()} if due else {}
            score = self._metric(scores) if due else None
            if (due or self.job.metric is None) and state.improves(score):
                state.best, state.best_epoch = score, state.epoch + 1
                atomic.replace_file(self.folder.model, checkpoint.pack(self.network.state_dict()))
        self.tick()
        state.history.append(state.line(scores))
        note = None
        if self.watch is not None:
            state.history[-1]["watch"], note = self.watch.epoch()
        atomic.append_line(self.folder.log, msgspec.json.encode(state.history[-1]))
        self.progress.epoch(state.history[-1], best=state.best_epoch == state.epoch + 1)
        if note is not None:
            self.progress.note(note)
        self._check_whether_over(batches)
        state.next_epoch()

    def _score_is_due(self) -> bool:
        """Whether dev data is scored after this epoch."""
        epoch = self.state.epoch + 1
        due = epoch % self.job.score_every == 0 or epoch == self.epochs or self.out_of_time()
        return self.job.metric is not None and due

    def _check_whether_over(self, batches: int) -> None:
        state, config = self.state, self.config
        waited = state.epoch + 1 - (state.best_epoch or 0)
        if state.epoch + 1 == self.epochs and state.batch == batches:
            state.stopped = "epochs"
        elif self.out_of_time():
            state.stopped = "time"
            self.progress.note(f"time limit of {config.max_time:g} s reached; epoch {state.best_epoch} is kept")
        elif config.patience and waited >= config.patience and self._score_is_due():
            state.stopped = "patience"
            self.progress.note(f"no better score for {waited} epochs; epoch {state.best_epoch} is kept")

    def _metric(self, scores: dict[str, float]) -> float:
        assert self.job.metric is not None
        if self.job.metric not in scores:
            raise UsageError(f"expected a dev score named {self.job.metric!r}, found {quoted(scores)}")
        return scores[self.job.metric]

    # checkpoints

    def save_if_due(self, stop: StopRequest) -> None:
        """Save when it is time to, at the end, and when asked to stop; then raise Interrupted."""
        if stop.signal is not None:
            self.save()
            raise Interrupted(
                f"stopped by {stop.signal} after step {self.state.step}; a checkpoint is saved: continue with "
                f"--resume {self.folder.path}"
            )
        if self.state.stopped is not None or time.monotonic() - self._saved >= self.config.checkpoint_every:
            self.save()

    def save(self) -> None:
        """Write a checkpoint. Raises ResourceError, leaving the previous one intact."""
        tensors = {
            "model": self.network.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer, self.network),
            "random": random_states(self.device),
            "carried": self.job.carried(),
        }
        if self.average.decay:
            tensors["average"] = self.average.tensors()
        checkpoint.save(
            self.folder.training,
            state=self.state,
            config=self.config.to_dict(),
            environment=self.environment,
            fingerprint=self.fingerprint,
            tensors=tensors,
            best=self.folder.model if self.state.best_epoch is not None else None,
        )
        self._saved = time.monotonic()

    def _restore(self) -> None:
        folder, saved, tensors, best = checkpoint.load(self.folder.training)
        self._require_same(saved)
        try:
            self.network.load_state_dict(tensors["model"])
            load_optimizer(self.optimizer, self.network, tensors["optimizer"])
            if self.average.decay:
                self.average.load(tensors["average"])
            set_random_states(tensors["random"], self.device)
            self.job.carry(tensors.get("carried", {}))
        except (KeyError, RuntimeError) as problem:
            raise ModelError(f"{folder}: its tensors do not fit this network: {problem}") from problem
        self.state = saved.state
        if best:
            atomic.replace_by_link(best, self.folder.model)
        else:
            atomic.remove(self.folder.model)
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in self.state.history)
        atomic.replace_file(self.folder.log, lines)  # epochs after the checkpoint will be logged again

    def _require_same(self, saved: checkpoint.Saved) -> None:
        """Raise UsageError that lists everything that has changed since the checkpoint was written."""
        changes = []
        for kind, was, now in (
            ("option", _without_free(saved.config), _without_free(self.config.to_dict())),
            ("machine", saved.environment, self.environment),
            ("input", saved.fingerprint, self.fingerprint),
        ):
            for key in sorted(was.keys() | now.keys()):
                if was.get(key) != now.get(key):
                    changes.append(f"  {kind}, {key}: expected {was.get(key)}, found {now.get(key)}")
        if changes:
            raise UsageError(
                f"{self.folder.path}: cannot be resumed, because these have changed since it was started:\n"
                + "\n".join(changes)
                + "\nRestore them, or start a new run in another folder with --out"
            )


def _without_free(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _FREE}
