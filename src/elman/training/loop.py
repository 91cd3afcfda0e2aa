"""The training loop, in plain sight."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from elman.config import TrainingConfig
from elman.errors import UsageError
from elman.training import checkpoint
from elman.training.control import reproducible, stop_requests
from elman.training.folder import RunFolder
from elman.training.job import Job
from elman.training.optimizer import clip_gradients, require_finite, set_rate, trainable_device
from elman.training.progress import Progress
from elman.training.run import Run
from elman.training.schedule import rate
from elman.training.watch import Watch


@dataclass(frozen=True)
class Result:
    """How a run ended. `scores` are the dev scores of the kept weights, `history` the lines of log.jsonl.

    `stopped` is "epochs", "patience" or "time"; `best_epoch` counts from 1.
    """

    stopped: str
    steps: int
    epochs: int
    best_epoch: int
    scores: dict[str, float]
    seconds: float
    history: list[dict[str, Any]]


def fit(job: Job, config: TrainingConfig, folder: RunFolder, progress: Progress, watch: Watch | None = None) -> Result:
    """Train `job.network`; afterwards it holds the best weights, which are also in `folder.model`.
    `watch` observes, and changes nothing.

    Call `folder.finish()` once the rest of the model is written: until then the run can be resumed, and a
    resumed run that had ended returns here at once with the same result. Raises Interrupted when asked to stop,
    UsageError when the loss is not finite or a resumed run has changed, ModelError on a broken checkpoint and
    ResourceError when a file cannot be written.
    """
    with (
        progress,
        stop_requests(progress.note) as stop,
        reproducible(config.seed, config.threads, trainable_device(job.network)),
    ):
        run = Run.start(job, config, folder, progress, watch)
        while run.state.stopped is None:
            state, batches = run.state, job.batches(run.state.epoch)
            if len(batches) == 0:
                raise UsageError("expected training data, found no batches")
            job.network.train()
            while state.batch < len(batches) and not run.out_of_time():
                began = time.monotonic()
                run.optimizer.zero_grad()
                batch = batches[state.batch]
                loss, tokens = job.loss(batch)
                (loss / max(tokens, 1)).backward()
                total = loss.item()
                norm = clip_gradients(run.optimizer, config.clip)
                require_finite(state.step + 1, total, norm)
                state.rate = rate(config, step=state.step, done=run.done(len(batches)))
                set_rate(run.optimizer, state.rate * job.rate_scale(batch))
                with run.watched(batch):
                    run.optimizer.step()
                run.average.update(state.step)
                state.step += 1
                state.batch += 1
                state.sums.add(loss=total, tokens=tokens, norm=norm, seconds=time.monotonic() - began)
                run.tick()
                progress.step(run.report(len(batches)))
                run.save_if_due(stop)
            run.end_epoch(len(batches))
            run.save_if_due(stop)
        return _result(run)


def _result(run: Run) -> Result:
    state = run.state
    assert state.stopped is not None and state.best_epoch is not None
    run.network.load_state_dict(checkpoint.unpack(run.folder.model))
    run.network.eval()
    return Result(
        stopped=state.stopped,
        steps=state.step,
        epochs=len(state.history),
        best_epoch=state.best_epoch,
        scores=state.history[state.best_epoch - 1]["dev"],
        seconds=state.seconds,
        history=state.history,
    )
