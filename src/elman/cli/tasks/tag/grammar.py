"""`elman data make grammar`: write the embedded corpus."""

from __future__ import annotations

import click

from elman.cli.options import json_option
from elman.cli.output import emit_json, note, shell, table


@click.command("grammar")
@click.option("--sentences", type=int, default=10_000, show_default=True, metavar="N", help="In all three files.")
@click.option("--out", required=True, metavar="DIR", help="The folder to write into.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Another seed, another corpus.")
@click.option("--distance", type=int, metavar="N", help="Only dependencies of this many words (default: 1 to 20).")
@json_option
def grammar(sentences: int, out: str, seed: int, distance: int | None, as_json: bool) -> None:
    """English-like sentences with long dependencies, in the spirit of Elman's 1990 and 1991 experiments.

    Writes train.conllu, dev.conllu, test.conllu and a README.md that explains the grammar. Each sentence has a noun
    that is the same in singular and plural (sheep); the word that settles its tag is up to 20 words before or after
    it. The column to train on is xpos; MISC has the distance.
    """
    from pathlib import Path

    from elman.text.grammar import write_corpus

    written = write_corpus(Path(out), sentences, seed, distance)
    if as_json:
        emit_json(written)
    else:
        rows = [[file["path"], str(file["sentences"]), str(file["word_count"])] for file in written["files"]]
        table(["file", "sentences", "words"], rows)
    train, dev = (shell(Path(out) / f"{part}.conllu") for part in ("train", "dev"))
    note(f"try:  elman train tag --train {train} --dev {dev} --column xpos --out my-tagger")
