"""`elman compare TASK`: does the network beat what came before it, on this data?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elman.cli import learning
from elman.cli.groups import LazyGroup, SectionedCommand, SectionOption
from elman.cli.output import emit_json, note, percent, size, table
from elman.cli.tasks import TASKS, all_tasks, get_task
from elman.cli.tasks.base import Task
from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.tasks.compare.comparison import Comparison, Row
    from elman.tasks.compare.curve import LearningCurve
    from elman.tasks.compare.systems import System
    from elman.tasks.measure import Measure

_NOT_READING = {"train", "dev", "test", "first", "out", "init", "model", "folds", "fold"}


class _Compare(LazyGroup):
    """One command for each task that can be trained, made from the table of its settings."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _command(get_task(cmd_name)) if cmd_name in self.table else None


@click.group(
    "compare",
    cls=_Compare,
    table=TASKS,
    invoke_without_command=True,
    short_help="Compare models on a split.",
    help="Train the rivals of a network and the network itself on the same data, and print one table.\n\n\b\n"
    + "\n".join(line for task in all_tasks() for line in task.examples["compare"]),
)
@click.pass_context
def compare(context: click.Context) -> None:
    """Train the rivals of a network and the network itself, and print one table."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _command(task: Task) -> click.Command:
    models = ", ".join(name for name in task.table.models if name != "network")

    def option(names: list[str], help: str, **more: Any) -> SectionOption:
        return SectionOption(names, help=help, section="Comparison", **more)

    def argument(name: str, required: bool = True) -> click.Argument:
        kind = click.Path(dir_okay=False, path_type=Path)
        return click.Argument(
            [name], metavar=name.upper() if required else f"[{name.upper()}]", required=required, type=kind
        )

    reading = [made for made in task.table.click_options() if made.name in _reading(task)]
    params: list[click.Parameter] = [
        argument("train"),
        argument("dev"),
        argument("test", required=False),
        *reading,
        option(
            ["systems", "--systems"],
            "what to compare, as in hmm,network:cell=gru,layers=2 (default: all of "
            + (f"{models}, network)" if models else "network)"),
            metavar="A,B,...",
            multiple=True,
        ),
        option(
            ["sizes", "--sizes"],
            f"a learning curve: train on the first N {task.unit}s, for each of these; all: on everything",
            metavar="N,N,...,all",
        ),
        option(
            ["seeds", "--seeds"],
            "number of seeds for random systems (default 3)",
            type=click.IntRange(min=1),
            default=3,
        ),
        option(["max_time", "--max-time"], "limit for each training: 90s, 10m, 1h30m", metavar="TEXT"),
        option(["threads", "--threads"], "CPU threads", type=click.IntRange(min=1), metavar="N"),
        option(["out", "--out"], "keep every model in this folder", type=click.Path(path_type=Path), metavar="DIR"),
        option(["resume", "--resume"], "resume the comparison in --out", is_flag=True),
        option(["quiet", "--quiet", "-q"], "no progress", is_flag=True),
        option(["as_json", "--json"], "print one JSON object", is_flag=True),
        option(["markdown", "--markdown"], "print a Markdown table", is_flag=True),
        option(["figure", "--figure"], "draw the learning curve: FILE.svg or FILE.png", metavar="FILE"),
    ]
    help = f"""Train systems on TRAIN, choosing on DEV if there is something to choose, and score them on TEST (on DEV
    without a TEST).

    \b
    elman compare {task.name} TRAIN DEV TEST --out models
    elman compare {task.name} TRAIN DEV --systems network,network:cell=gru --max-time 10m
    elman compare {task.name} TRAIN DEV TEST --sizes 100,1000,all --figure curve.svg

    A system is a model of `elman train {task.name} --model`, optionally with its own settings. Each is trained by that
    command in its own process; one that fails becomes a row without scores. Ctrl-C keeps what is finished in --out.
    """
    return SectionedCommand(task.name, callback=lambda **given: _run(task, given), params=params, help=help)


def _reading(task: Task) -> set[str]:
    return {setting.key for setting in task.table.data} - _NOT_READING


def _run(task: Task, given: dict[str, Any]) -> None:
    from elman.tasks.compare.comparison import Split, compare
    from elman.tasks.compare.curve import compare_sizes
    from elman.text.files import require_file
    from elman.training import parse_duration

    if given["as_json"] and given["markdown"]:
        raise UsageError("--json and --markdown: expected one of them, found both")
    if given["resume"] and given["out"] is None:
        raise UsageError("--resume needs --out, the folder of the comparison to resume")
    try:
        max_time = None if given["max_time"] is None else parse_duration(given["max_time"])
    except UsageError as problem:
        raise UsageError(f"--max-time: {problem}") from None
    sizes = None if given["sizes"] is None else learning.read_sizes(given["sizes"])
    if given["figure"] is not None:
        learning.check_figure(given["figure"], sizes)
    for key in ("train", "dev", "test"):
        if given[key] is not None:
            require_file(given[key])
    systems = read_systems(task, given["systems"])
    if given["threads"] is not None:
        import torch

        torch.set_num_threads(given["threads"])
    split = Split(given["train"], given["dev"], given["test"], _options(task, given))
    parts, reading = _read(task, given, systems)
    scored = parts[split.part]
    numbers = None if sizes is None else learning.numbers_of(sizes, task, parts["train"])
    keeping = nullcontext(given["out"]) if given["out"] is not None else tempfile.TemporaryDirectory(prefix="elman-")
    with keeping as out:
        folder = Path(out) if given["out"] is not None else Path(out, "models")
        common = {key: given[key] for key in ("seeds", "threads", "resume")}
        common |= {"max_time": max_time, "tell": (lambda text: None) if given["quiet"] else note}
        answer: Comparison | LearningCurve
        if numbers is None:
            answer = compare(task.name, systems, split, scored, folder, **common)
            comparisons = [answer]
        else:
            answer = compare_sizes(task.name, systems, split, scored, folder, numbers, task.unit, **common)
            comparisons = answer.comparisons
            if given["figure"] is not None:
                learning.learning_figure(answer).write(given["figure"])
    if given["as_json"]:
        emit_json(answer.to_json() | {"skipped": sum(reading.get("skipped_parts", {}).values())})
    else:
        _print(comparisons, None if numbers is None else (f"{task.unit}s", numbers), markdown=given["markdown"])
    if all(one.best is None for one in comparisons):
        raise UsageError("no system could be trained; see the reasons above")


def read_systems(task: Task, texts: Sequence[str]) -> list[System]:
    """The systems of --systems; without any, all models of the task. Raises UsageError."""
    from elman.tasks.compare.systems import default_systems, make_system, require_distinct

    systems = []
    for name, pairs in split_systems(texts) or [(name, []) for name in default_systems(task.name)]:
        model, settings = name.partition(":")[0], {}
        try:
            settings = task.table.from_pairs(pairs)
        except UsageError as problem:
            raise UsageError(str(problem).replace("--set", f"--systems {model}", 1)) from None
        systems.append(make_system(task.name, name, model, settings))
    require_distinct(systems)
    return systems


def split_systems(texts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """`a,b:k=v,l=w` as [(a, []), (b:k=v,l=w, [k=v, l=w])]: a part that begins with `key=` belongs to the one before it.

    Raises UsageError for settings without a system."""
    systems: list[tuple[str, list[str]]] = []
    for text in texts:
        start = len(systems)
        for part in filter(None, (part.strip() for part in text.split(","))):
            key, equals, _ = part.partition("=")
            _, colon, pair = part.partition(":")
            if equals and ":" not in key:
                if len(systems) == start or not systems[-1][1]:
                    raise UsageError(f"--systems: expected a system such as network:{part}, found {part!r}")
                systems[-1] = f"{systems[-1][0]},{part}", [*systems[-1][1], part]
            else:
                systems.append((part, [pair] if colon else []))
    return systems


def _options(task: Task, given: Mapping[str, Any]) -> list[str]:
    """How to read, as flags of `elman train`."""
    settings = {setting.key: setting for setting in task.table.data}
    flags = []
    for key in sorted(_reading(task)):
        value, flag = given.get(key), settings[key].flags.split("/")[0]
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            flags.append(f"{flag}={value}")
    return flags


def _read(task: Task, given: Mapping[str, Any], systems: Sequence[System]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every part and how it was read. Reading all of them first reports a broken file before any training.

    Settings that are the same in every system, such as several labels per text, apply to reading too."""
    complete: dict[str, Any] = {setting.key: setting.default for setting in task.table.data}
    first, *others = (system.settings for system in systems)
    complete |= {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}
    complete |= {key: given[key] for key in _reading(task) if given.get(key) is not None}
    complete |= {key: str(given[key].absolute()) for key in ("train", "dev", "test") if given[key] is not None}
    return task.read(complete, given["quiet"])


def _print(answers: Sequence[Comparison], sizes: tuple[str, list[int]] | None, *, markdown: bool) -> None:
    """sizes: what is counted, and how much of it each was trained on: the first column; without them there is one."""
    first = [f"{number:,}" for number in sizes[1]] if sizes else [""]
    measure = next((answer.measure for answer in answers if answer.measure is not None), None)
    header: list[str] = []
    rows: list[list[str]] = []
    for number, answer in zip(first, answers, strict=True):
        header, some = as_table(answer, measure)
        rows += [[number, *row] for row in some] if sizes else some
    header = [sizes[0], *header] if sizes else header
    if markdown:
        for line in (header, ["---", *["---:"] * (len(header) - 1)], *rows):
            print("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |")
    else:
        table(header, rows, left=2 if sizes else 1)
    lines = [
        f"{f'{number} {sizes[0]}, ' if sizes else ''}{row.system}"
        f"{f', seed {seed}' if len(row.problems) > 1 else ''}: {problem}"
        for number, answer in zip(first, answers, strict=True)
        for row in answer.rows
        for seed, problem in row.problems.items()
    ]
    if lines:
        print()
        for text in lines:
            print(f"- {text}" if markdown else text)
    if measure is not None:
        print(f"\n{caption(answers, measure, first if sizes else None)}")


def as_table(answer: Comparison, measure: Measure | None) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, as shown."""
    more = () if measure is None else measure.more
    name, unit = ("score", "units") if measure is None else (measure.name, measure.unit)
    header = ["system", "seeds", name, "+-", "95 %", "p", *(key.removesuffix("_accuracy") for key in more)]
    header += ["train s", f"{unit}/s", "size", "memory"]

    def number(value: float | None, digits: int = 2) -> str:
        if value is None:
            return "-"
        return percent(value) if measure is None or measure.percent else f"{value:.{digits}f}"

    def cells(row: Row) -> list[str]:
        shown = [row.system, str(len(row.seeds)), number(row.mean), number(row.deviation)]
        shown.append("-" if row.interval is None else f"{number(row.interval.low)} - {number(row.interval.high)}")
        shown.append("-" if row.test is None else f"{row.test.p:.4f}")
        shown += [number(row.more.get(key), 4) for key in more]
        shown.append("-" if row.seconds is None else f"{row.seconds:.1f}")
        shown.append("-" if row.speed is None else f"{row.speed:,.0f}")
        shown += ["-" if value is None else size(value) for value in (row.size, row.memory)]
        return shown

    return header, [cells(row) for row in answer.rows]


def caption(answers: Sequence[Comparison], measure: Measure, sizes: Sequence[str] | None) -> str:
    """What the numbers are."""
    rivals = list(dict.fromkeys(answer.best for answer in answers if answer.best is not None))
    against = ""
    if len(rivals) == 1:
        against = rivals[0]
    elif sizes is not None and rivals:
        each = ", ".join(f"{answer.best} of {size}" for size, answer in zip(sizes, answers, strict=True) if answer.best)
        against = f"the best rival of each size: {each}"
    paired = f"; p: a paired test (approximate randomisation) against {against}" if against else ""
    examples = max(answer.examples for answer in answers)
    return (
        f"{measure.name}{' in %' if measure.percent else ''} on {answers[0].part}, {examples:,} examples: mean and "
        f"standard deviation over seeds; 95 %: bootstrap over examples{paired}, both on examples averaged over seeds; "
        f"{'lower' if measure.lower else 'higher'} is better; memory: peak of the training process, including Python "
        f"and torch\n{next((answer.signature for answer in answers if answer.signature), '')}"
    ).rstrip()
