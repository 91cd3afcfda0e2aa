"""Training: the visible loop, its schedule, checkpoints and progress. A task is known only as a `Job`.

with prepare(out, resume=False) as folder:
    result = fit(job, config, folder, make_progress())
    ...  # write everything else that belongs to the model
    folder.finish()
"""

from __future__ import annotations

from elman.config import TrainingConfig, parse_duration
from elman.training.folder import RunFolder, prepare
from elman.training.job import Excerpt, Job
from elman.training.loop import Result, fit
from elman.training.progress import Progress, make_progress
from elman.training.watch import Watch

__all__ = [
    "Excerpt",
    "Job",
    "Progress",
    "Result",
    "RunFolder",
    "TrainingConfig",
    "Watch",
    "fit",
    "make_progress",
    "parse_duration",
    "prepare",
]
