"""`check_cell`: the contract of a cell as one call, for a cell that a user wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from elman.errors import UsageError
from elman.recurrent.backend import path_of
from elman.recurrent.cell import Cell
from elman.recurrent.check.contract import CHECKS
from elman.recurrent.check.trial import CellUnderTest, Wrong

WIDTHS = (1, 17, 64)  # where the compiled form is compared with the reference, besides the requested width


@dataclass(frozen=True)
class Check:
    """One line of a report. ok is None if the check could not run because an earlier one failed."""

    name: str
    ok: bool | None
    found: str = ""
    fix: str = ""


@dataclass(frozen=True)
class CellReport:
    """What `check_cell` found. `print(report)` gives a table; `path` is how the cell will run, `reason` why."""

    cell: str
    path: str
    reason: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        wrong = sum(not check.ok for check in self.checks)
        verdict = "fits the contract" if self.ok else f"{wrong} of {len(self.checks)} checks did not pass"
        lines = [f"{self.cell}: {verdict}", f"path: {self.path}" + (f" ({self.reason})" if self.reason else "")]
        width = max(len(check.name) for check in self.checks)
        for check in self.checks:
            mark = {True: "ok   ", False: "WRONG", None: "-    "}[check.ok]
            lines.append(f"  {mark}  {check.name:{width}}  {check.found}".rstrip())
            if check.fix:
                lines.append(f"  {'':5}  {'':{width}}  fix: {check.fix}")
        return "\n".join(lines)

    def raise_if_wrong(self) -> None:
        """Raise UsageError with the whole table unless every check passed."""
        if not self.ok:
            raise UsageError(str(self))


def check_cell(cell_class: type[Cell], input_size: int = 3, hidden_size: int = 4) -> CellReport:
    """Test a cell class against the contract that every task and tool relies on.

    Builds small cells on the CPU, runs them on short sequences, and reports; it takes about a second, and another two
    to compile a step that was not compiled before. The compiled form is compared with the step, values and gradients,
    at several widths, numbers of rows and ranges of numbers, and not used if they differ. What goes wrong inside the
    cell is a line of the report, never an exception. Raises UsageError if cell_class is not a subclass of Cell.
    torch's random state is left unchanged."""
    if not (isinstance(cell_class, type) and issubclass(cell_class, Cell)):
        raise UsageError(f"check_cell: expected a subclass of Cell (the class, not a cell), found {cell_class!r}")
    subject = CellUnderTest(cell_class, input_size, hidden_size)
    checks: list[Check] = []
    broken = False
    for group in CHECKS:
        results = [_result(name, check, subject, broken) for name, check in group]
        checks += results
        broken = broken or not all(result.ok for result in results)
    path, reason = "reference", "a check above failed"
    if not broken:
        with torch.random.fork_rng(devices=[]):
            paths = [path_of(cell_class(input_size, width)) for width in (hidden_size, *WIDTHS)]
        path, reason = next((one for one in paths if one[0] == "reference"), paths[0])
    return CellReport(cell_class.__name__, path, reason, tuple(checks))


def _result(name: str, check: Callable[[CellUnderTest], str | None], subject: CellUnderTest, broken: bool) -> Check:
    if broken:
        return Check(name, None, "not run: fix the above first")
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.default_generator.manual_seed(0)
        try:
            return Check(name, True, check(subject) or "")
        except Wrong as wrong:
            return Check(name, False, wrong.found, wrong.fix)
        except UsageError as problem:  # its message says how to fix it
            return Check(name, False, str(problem))
        except Exception as problem:
            place = subject.place_of(problem)
            message = " ".join(str(problem).split())
            fix = f"see {place}" if place else "the cell must run on small float64 tensors on the CPU"
            return Check(name, False, f"{type(problem).__name__}: {message}", fix)
