"""What a tagger with features sees of a word and of its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from elman.layers.features import shape

AFFIX = 4  # characters of the longest prefix and suffix
WINDOW = 2  # neighbours on either side


def features(words: Sequence[str]) -> list[list[str]]:
    """The features of every word of a sentence, each "name=value" or the name of a property that holds.

    The word, its lower-cased form, its shape, prefixes and suffixes of up to 4 characters, whether it contains digits
    or hyphens and how it is capitalised; for two neighbours on either side the lower-cased form, for adjacent ones the
    shape too, or that the sentence begins or ends there.
    """
    lowered = [word.lower() for word in words]
    shapes = [shape(word) for word in words]
    alone = [_of_word(*forms) for forms in zip(words, lowered, shapes, strict=True)]
    for place, own in enumerate(alone):
        for step in (*range(-WINDOW, 0), *range(1, WINDOW + 1)):
            if 0 <= place + step < len(words):
                own.append(f"{step:+d}lower={lowered[place + step]}")
                if abs(step) == 1:
                    own.append(f"{step:+d}shape={shapes[place + step]}")
            elif abs(step) == 1:
                own.append("begin" if step < 0 else "end")
    return alone


def _of_word(word: str, lower: str, outline: str) -> list[str]:
    own = ["bias", f"word={word}", f"lower={lower}", f"shape={outline}"]
    for length in range(1, min(AFFIX, len(lower)) + 1):
        own += [f"prefix={lower[:length]}", f"suffix={lower[-length:]}"]
    tests = {
        "capital": word[:1].isupper(),
        "all capitals": word.isupper(),
        "mixed capitals": not word.isupper() and word[1:] != word[1:].lower(),
        "digit": any(c.isdigit() for c in word),
        "all digits": word.isdigit(),
        "hyphen": "-" in word,
    }
    return own + [name for name, holds in tests.items() if holds]
