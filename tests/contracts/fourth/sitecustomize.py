"""On PYTHONPATH: every Python knows the task, as if its rows stood in the tables."""

import elman.cli.tasks
import elman.tasks

elman.tasks.TASKS["parity"] = {"network": "parity.models:Parity", "constant": "parity.models:Constant"}
elman.cli.tasks.TASKS["parity"] = "parity.command:TASK"
