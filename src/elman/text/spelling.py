"""A made-up spelling and how it is read aloud: the embedded pairs of sequence to sequence.

A word is a string of letters without meaning, of any length. Almost every letter has one sound of its own; a few depend
on their neighbours, one has two sounds, some have none:

    c, g   s, j before e and i, otherwise k, g
    s      z between two vowels, otherwise s
    x      k and s
    h      nothing after a consonant, otherwise h
    any letter after itself: nothing

So nothing has to be remembered but where in the word one is, and the words can be as long as one likes. A network that
squeezes a word into one vector before it writes must remember all of it."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from elman.errors import ResourceError, UsageError

VOWELS, CONSONANTS = "aeiou", "bcdfghklmnprstx"
SHORTEST, LONGEST, LONGEST_TEST = 2, 16, 20  # letters: of all words, of those to train on, of those to test with
MOST_TEST, MOST_DEV = 50, 500  # words: of each length, and in all; of two letters there are only 400


def pronounce(word: str) -> str:
    """The sounds of a word, one letter each."""
    sounds = []
    for before, letter, after in zip(" " + word, word, word[1:] + " ", strict=False):
        if letter == before or (letter == "h" and before in CONSONANTS):
            continue
        if letter in "cg":
            sounds.append({"c": "ks", "g": "gj"}[letter][after in "ei"])
        elif letter == "s" and before in VOWELS and after in VOWELS:
            sounds.append("z")
        else:
            sounds.append("ks" if letter == "x" else letter)
    return "".join(sounds)


def make(lengths: Iterable[int], seed: str, avoid: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """(word, sounds) of a word of each length, in this order; the same on every machine. avoid: words that are not to
    be there."""
    source = random.Random(seed)
    for length in lengths:
        word = _word(source, length)
        while word in avoid:
            word = _word(source, length)
        yield word, pronounce(word)


def _word(source: random.Random, length: int) -> str:
    """Letters at random; after a consonant mostly a vowel, otherwise mostly a consonant."""
    word = ""
    for _ in range(length):
        vowel = source.random() < (0.75 if word and word[-1] in CONSONANTS else 0.25)
        word += source.choice(VOWELS if vowel else CONSONANTS)
    return word


def write_corpus(out: Path, pairs: int, seed: int = 1) -> dict[str, Any]:
    """Write train.tsv (that many pairs), dev.tsv (a twentieth) and test.tsv (a hundredth of each length) into a folder.

    Words have 2 to 16 letters, those of the test 2 to 20, each length equally often; no word of one file is in another.
    Returns the arguments, and for each file its path and its number of pairs. Raises UsageError for fewer than 20
    pairs, ResourceError where the folder cannot be written."""
    if pairs < 20:
        raise UsageError(f"expected 20 pairs or more, found {pairs}")
    every = range(SHORTEST, LONGEST + 1)
    each = min(max(pairs // 100, 1), MOST_TEST)
    lengths = {
        "test": [length for length in range(SHORTEST, LONGEST_TEST + 1) for _ in range(each)],
        "dev": [every[k % len(every)] for k in range(min(pairs // 20, MOST_DEV))],
        "train": [every[k % len(every)] for k in range(pairs)],
    }
    files, used = [], set[str]()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for part, own in lengths.items():
            rows = list(make(own, f"{seed}:{part}", used))
            used |= {word for word, _ in rows}
            path = out / f"{part}.tsv"
            path.write_text("".join(f"{word}\t{sounds}\n" for word, sounds in rows), encoding="utf-8", newline="\n")
            files.append({"part": part, "path": str(path), "pairs": len(rows)})
    except OSError as problem:
        raise ResourceError(f"{out}: cannot be written: {problem.strerror or problem}") from problem
    return {"pairs": pairs, "seed": seed, "files": files}
