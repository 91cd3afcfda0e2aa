"""`elman check --task lm`: texts for a language model."""

from __future__ import annotations

from collections.abc import Sequence

from elman.cli.output import emit_json, heading, note_skipped, percent, table

_ROWS = ("lines", "tokens", "characters", "empty_lines", "repeated_lines", "lines_of_the_first", "distinct_tokens")
_MORE = ("seen_once", "written_unknown", "median_length", "longest", "unknown_tokens")
SHOWN = 20


def check_lm(files: Sequence[str], encoding: str | None, tokenizer: str, skip_broken: bool, as_json: bool) -> bool:
    """Print what there is; whether it is without a problem."""
    from elman.text.check_text import check_text
    from elman.text.skipping import Skipped
    from elman.text.tokenizing import get_tokenizer

    skipped = Skipped() if skip_broken else None
    report = check_text(files, get_tokenizer(tokenizer), encoding=encoding or "utf-8", skipped=skipped)
    note_skipped(skipped, "elman check", "line")
    problems = report["problems"]
    if as_json:
        emit_json(report)
        return not problems
    found = report["files"]
    rows = [[name, *(_number(file[name]) for file in found)] for name in (*_ROWS, *_MORE)]
    rows.append(["unknown_share %", *(percent(file["unknown_share"]) for file in found)])
    table(["", *(file["file"] for file in found)], rows)
    for file in found:
        if file["frequent_unknown"]:
            heading(f"{file['file']}: tokens that the first file lacks, the most frequent")
            print(" ".join(file["frequent_unknown"]))
    if problems:
        heading(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}")
        for problem in problems[:SHOWN]:
            print(f"{problem['where']}: {problem['message']}")
        if len(problems) > SHOWN:
            print(f"... and {len(problems) - SHOWN} more; --json lists them all")
    return not problems


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"
