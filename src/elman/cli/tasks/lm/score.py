"""`elman score`: how likely a language model finds a text, line by line or token by token, as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from elman.cli.options import allow_code_option, encoding_option, threads_option
from elman.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command("score", short_help="How likely a language model finds a text.")
@click.argument("model", metavar="DIR")
@click.argument("file", metavar="[FILE|-]", default="-")
@click.option(
    "--tokens", is_flag=True, help="One line per token: log-probability, TAB, token; an empty line after each line."
)
@click.option("--output", "-o", metavar="FILE", default="-", help="Write to this file, compressed if it ends in .gz.")
@encoding_option
@threads_option
@allow_code_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def score(
    model: str,
    file: str,
    tokens: bool,
    output: str,
    encoding: str | None,
    threads: int | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Natural log-probabilities of a text under a language model; without FILE or with -, of standard input.

    For each line: its log-probability, TAB, its number of tokens (including its end), TAB, the line. A model of a
    running stream continues from line to line. Perplexity and its counts follow on standard error.

    \b
    elman score my-model test.txt | sort -n | head
    echo 'colourless green ideas sleep furiously' | elman score my-model --tokens
    """
    import json
    from pathlib import Path

    from elman.cli.models import load_model
    from elman.cli.stream import batches
    from elman.metrics.perplexity import PerplexityScore
    from elman.text.files import open_output

    loaded = load_model(Path(model), "lm", allow_code=allow_code, threads=threads)
    total = PerplexityScore(loaded.settings.model.tokenizer, "stream" if loaded.carries else "lines")
    state = loaded.start()
    with open_output(output) as out:
        for batch in batches(_lines(file, encoding or "utf-8"), 2000, len):
            pieces = [[*loaded.tokenizer.split(line), loaded.vocabulary.items[1]] for line in batch]
            scored, state = loaded.score_batch(pieces, state)
            for line, one in zip(batch, scored, strict=True):
                unknown = sum(token not in loaded.vocabulary for token in one.tokens)
                total.add(one.total, len(one.tokens), 1, unknown, len(line) + 1)
                out.write(_written(line, one, tokens, json if as_json else None))
            out.flush()
    result = total.result()
    if result.tokens:
        note(str(result))


def _written(line: str, one: Any, tokens: bool, json: Any) -> str:
    if json is not None:
        logs = [round(log, 6) for log in one.log_probabilities]
        record = {
            "text": line,
            "log_probability": round(one.total, 6),
            "sequence": one.tokens,
            "log_probabilities": logs,
        }
        return json.dumps(record, ensure_ascii=False) + "\n"
    if tokens:
        rows = zip(one.log_probabilities, one.tokens, strict=True)
        return "".join(f"{log:.6f}\t{token}\n" for log, token in rows) + "\n"
    return f"{one.total:.6f}\t{len(one.tokens)}\t{line}\n"


def _lines(file: str, encoding: str) -> Iterator[str]:
    from elman.errors import DataError
    from elman.text.files import name_of, open_text

    with open_text(file, encoding) as lines:
        for number, line in lines:
            if "</s>" in line.split():
                message = "</s> stands for the end of a line, which is added here; remove it from the text"
                raise DataError(message, file=name_of(file), line=number, column=line.find("</s>") + 1)
            yield line
