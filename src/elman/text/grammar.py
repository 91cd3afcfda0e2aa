"""The embedded corpus: a small grammar of English-like sentences with long dependencies, written for this package.

In the spirit of J. Elman, Finding structure in time (1990) and Distributed representations, simple recurrent networks,
and grammatical structure (1991). Every sentence has one noun that is the same in singular and plural (sheep, deer,
moose), and one other word, at a known distance, that alone determines its number:

    Side=right  the sheep [that the dogs chase] runs            known only from the main verb, later in the sentence
    Side=left   the boys [that the dog saw] must be the sheep   known only from the subject, earlier in the sentence
                the boys chased this old sheep                  at distances 1 and 2: from the determiner

Between them are relative clauses, nested to any depth, prepositional phrases and adverbs. Their nouns and verbs have
numbers of their own, drawn independently, so that no nearby word is a clue; verbs that would agree with the noun in
question are in the past tense, which shows no number. A clause before (the teachers say ...) or after (... while the
dogs sleep) keeps the first noun and the last verb from being the answer. Singular and plural are equally frequent at
every side and distance.

The column to train on is XPOS: NN or NNS for the ambiguous nouns, where UPOS is NOUN either way. Every other word form
has one XPOS only. MISC of the ambiguous word has `Distance=7|Side=left|Head=3`: Head is the ID of the word that
determines it, Distance how many words away that is. This is not its syntactic head, which is in the HEAD column as
usual.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from elman.errors import ResourceError, UsageError
from elman.text.grammar_sentence import Dice, Sentence

_SPLITS = ("train", "dev", "test")
_MARK = "# generator = elman grammar"


def make(sentences: int, *, seed: int = 1, distance: int | None = None, max_distance: int = 20) -> Iterator[str]:
    """CoNLL-U text of that many sentences, one block with its blank line at a time; the same on every machine.

    distance: one fixed distance; None: every distance from 1 to max_distance equally often.
    Raises UsageError, at once, for fewer than 1 sentence and for a distance below 1.
    """
    if sentences < 1:
        raise UsageError(f"expected 1 sentence or more; found {sentences}")
    made = _sentences(str(seed), sentences, _distances(distance, max_distance), avoid=())
    return (sentence.conllu(f"sent_id = {number}") for number, sentence in enumerate(made, 1))


def write_corpus(
    out: Path, sentences: int, seed: int = 1, distance: int | None = None, *, max_distance: int = 20
) -> dict[str, Any]:
    """Write train.conllu, dev.conllu, test.conllu (80, 10 and 10 % of the sentences) and README.md into a folder.

    The three come from separate random streams, and no sentence of one is in another. Returns what was written: the
    arguments, and for each file its path and its numbers of sentences and words.
    Raises UsageError for fewer than 10 sentences, for a distance below 1, and where a file that this function did not
    write would be overwritten; ResourceError where the folder cannot be written.
    """
    if sentences < 10:
        raise UsageError(f"expected 10 sentences or more, to be split into train, dev and test; found {sentences}")
    distances = _distances(distance, max_distance)
    held_out = sentences // 10
    sizes = dict(zip(_SPLITS, (sentences - 2 * held_out, held_out, held_out), strict=True))
    how = f"{_MARK}, sentences {sentences}, seed {seed}, distances {distances[0]} to {distances[-1]}"
    files: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in [*(f"{split}.conllu" for split in _SPLITS), "README.md"]:
            _refuse_foreign(out / name)
        for split, size in sizes.items():
            path, words, texts = out / f"{split}.conllu", 0, set()
            with path.open("w", encoding="utf-8", newline="\n") as file:
                for number, sentence in enumerate(_sentences(f"{seed}:{split}", size, distances, avoid=used), 1):
                    origin = [how.removeprefix("# ")] if number == 1 else []
                    file.write(sentence.conllu(*origin, f"sent_id = {split}-{number}"))
                    words += len(sentence.words)
                    texts.add(sentence.text)
            used |= texts
            files[split] = {"path": str(path), "sentences": size, "word_count": words}
        (out / "README.md").write_text(_readme(how, files), encoding="utf-8", newline="\n")
    except OSError as error:
        raise ResourceError(
            f"expected a folder that can be written; found {out}: {error.strerror or error}; fix it or choose another"
        ) from error
    written = [{"part": split, **row} for split, row in files.items()]
    return {"sentences": sentences, "seed": seed, "distance": distance, "max_distance": max_distance, "files": written}


def _distances(distance: int | None, max_distance: int) -> range:
    for name, value in (("distance", distance), ("max_distance", max_distance)):
        if value is not None and value < 1:
            raise UsageError(f"expected a {name} of 1 word or more; found {value}")
    return range(1, max_distance + 1) if distance is None else range(distance, distance + 1)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        if not file.readline().startswith(_MARK):
            raise UsageError(
                f"expected a folder free for the corpus; found {path}, not written by this generator; move it elsewhere"
            )


def _readme(how: str, files: dict[str, dict[str, Any]]) -> str:
    rows = "\n".join(
        f"| {split}.conllu | {row['sentences']:,} | {row['word_count']:,} |" for split, row in files.items()
    )
    about = (__doc__ or "").strip()
    return f"{how}\n\n{about}\n\n| file | sentences | words |\n| --- | ---: | ---: |\n{rows}\n"


def _sentences(seed: str, count: int, distances: Sequence[int], avoid: Container[str]) -> Iterator[Sentence]:
    """Sentences whose text is not in `avoid`. Every side, distance and number occurs once before any recurs."""
    dice = Dice(seed)
    kinds = [(side, n, plural) for side in ("left", "right") for n in distances for plural in (False, True)]
    left: list[tuple[str, int, bool]] = []
    for _ in range(count):
        left = left or list(kinds)
        kind = left.pop(dice.below(len(left)))
        sentence = Sentence(dice, *kind)
        while sentence.text in avoid:
            sentence = Sentence(dice, *kind)
        yield sentence
