"""`elman sample`: text drawn from a language model, token by token."""

from __future__ import annotations

import click

from elman.cli.options import allow_code_option, threads_option
from elman.cli.output import note


@click.command("sample", short_help="Text drawn from a language model.")
@click.argument("model", metavar="DIR")
@click.option(
    "--tokens", "-n", type=click.IntRange(min=0), metavar="N", default=200, help="How many tokens (default 200)."
)
@click.option("--prompt", metavar="TEXT", default="", help="The text to continue; - reads it from standard input.")
@click.option(
    "--temperature", type=float, metavar="X", default=1.0, help="Below 1: sharper; 0: the likeliest (default 1)."
)
@click.option("--top-k", type=int, metavar="K", default=0, help="Draw from the K likeliest only (default 0: all).")
@click.option(
    "--top-p", type=float, metavar="P", default=1.0, help="Draw from the likeliest that make up P (default 1)."
)
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same text (default: random).")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Of a network's products; bfloat16 is faster, and another text (default float32).",
)
@threads_option
@allow_code_option
def sample(
    model: str,
    tokens: int,
    prompt: str,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    precision: str,
    threads: int | None,
    allow_code: bool,
) -> None:
    """Text drawn from a language model, printed as it comes, after its prompt.

    \b
    elman sample my-model --prompt 'The king' --temperature 0.8
    elman sample my-model -n 10000 --seed 1 > invented.txt
    """
    import sys
    from pathlib import Path

    from elman.cli.models import load_model
    from elman.errors import UsageError

    if seed is not None and seed < 0:
        raise UsageError(f"--seed: expected 0 or more, found {seed}")
    # One row per step: more threads would wait for each other.
    loaded = load_model(Path(model), "lm", allow_code=allow_code, threads=threads or 1)
    if prompt == "-":
        prompt = sys.stdin.read().removesuffix("\n")
    unknown = [token for line in prompt.split("\n") for token in loaded.tokenizer.split(line)]
    unknown = [token for token in unknown if token not in loaded.vocabulary]
    if unknown:
        note(f"note: the model does not know {', '.join(dict.fromkeys(unknown[:5]))}; read as <unk>")
    out = sys.stdout
    out.write(prompt)
    last = prompt
    drawn = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    pieces = loaded.sample(tokens, prompt=prompt, precision=precision, **drawn)
    terminal = out.isatty()
    for last in pieces:
        out.write(last)
        if terminal or last == "\n":
            out.flush()
    if not last.endswith("\n"):
        out.write("\n")
    out.flush()
