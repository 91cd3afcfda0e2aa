"""Rules that change the ends of words, by features: the rival in tasks of inflection.

The baseline of the CoNLL-SIGMORPHON 2017 shared task (Cotterell et al. 2017, section 5.1), from its description.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from elman.errors import ModelError
from elman.tasks import storage
from elman.tasks.seq2seq.answers import Answer, SearchSettings, Source
from elman.tasks.seq2seq.config import RuleConfig
from elman.tasks.seq2seq.rivals.counted import CountedTransducer, strings


class Rules(NamedTuple):
    """Those of one set of features.

    suffixes: end of a source -> what replaces it
    prefixes: (beginning of a source, what replaces it), the most frequent first
    """

    suffixes: dict[str, str]
    prefixes: list[tuple[str, str]]


class AffixRules(CountedTransducer):
    """Rules of prefixes and suffixes.

    Source and target are aligned by edit distance and cut where the gaps at their ends stop:

        __ schiele n        prefix, stem, suffix
        ge schielt _

    Each end of stem and suffix gives one rule (nothing -> nothing, n -> nothing, en -> t, len -> lt, ...), the prefix
    gives one too (nothing -> ge). A source is changed by the longest suffix rule of its features that applies, in the
    most frequent way, then by the most frequent prefix rule that applies. Features that were never seen copy the
    source. If prefixes change more than suffixes, all texts are reversed.
    """

    kind = "rules"
    config = RuleConfig

    def _learn(self, examples: list[tuple[Source, str]]) -> None:
        shifts = [shift(source.text, target) for source, target in examples]
        self._reversed = sum(before for before, _ in shifts) > sum(after for _, after in shifts)
        suffixes: dict[tuple[str, ...], dict[str, Counter[str]]] = {}
        prefixes: dict[tuple[str, ...], Counter[tuple[str, str]]] = {}
        for source, target in examples:
            prefix, ends = extract(self._turned(source.text), self._turned(target))
            prefixes.setdefault(source.features, Counter())[prefix] += 1
            own = suffixes.setdefault(source.features, {})
            for end, changed in ends.items():
                own.setdefault(end, Counter()).update(changed)
        self._rules = {
            features: Rules(
                {end: max(counts, key=lambda changed: (counts[changed], len(changed))) for end, counts in ends.items()},
                [prefix for prefix, _ in prefixes[features].most_common()],
            )
            for features, ends in suffixes.items()
        }

    def _how(self) -> str:
        direction = ", read from right to left" if self._reversed else ""
        return f"rules that change prefixes and suffixes, by features{direction}"

    def _turned(self, text: str) -> str:
        return text[::-1] if self._reversed else text

    def _transduce(self, sources: Sequence[Source], search: SearchSettings) -> list[list[Answer]]:
        return [[self._changed(source)] for source in sources]

    def _changed(self, source: Source) -> Answer:
        rules = self._rules.get(source.features)
        if rules is None:
            return self._copied(source)
        return self._answer(self._turned(apply(rules, self._turned(source.text))))

    def _write_more(self, path: Path) -> None:
        super()._write_more(path)
        rules = [[features, rules.suffixes, rules.prefixes] for features, rules in self._rules.items()]
        storage.write_json(path / "rules.json", {"reversed": self._reversed, "rules": rules}, indent=False)

    def _restore(self, path: Path) -> None:
        super()._restore(path)
        file = path / "rules.json"
        problem = ModelError(f"{file}: expected rules of prefixes and suffixes, found something else; restore the file")
        match storage.read_json(file):
            case {"reversed": bool() as turned, "rules": [*rows]}:
                self._reversed, self._rules = turned, {}
            case _:
                raise problem
        for row in rows:
            match row:
                case [[*features], {**suffixes}, [*prefixes]] if (
                    strings(features)
                    and strings(suffixes.values())
                    and all(isinstance(one, list) and len(one) == 2 and strings(one) for one in prefixes)
                ):
                    self._rules[tuple(features)] = Rules(
                        cast(dict[str, str], suffixes), [(before, after) for before, after in prefixes]
                    )
                case _:
                    raise problem


def apply(rules: Rules, text: str) -> str:
    """The longest suffix rule that applies, then the first prefix rule that applies; without one nothing changes."""
    for start in range(len(text) + 1):
        if text[start:] in rules.suffixes:
            text = text[:start] + rules.suffixes[text[start:]]
            break
    for before, after in rules.prefixes:
        if text.startswith(before):
            return after + text[len(before) :]
    return text


def extract(source: str, target: str) -> tuple[tuple[str, str], dict[str, list[str]]]:
    """The prefix rule (beginning, what replaces it), and the suffix rules (end, what may replace it) of a pair."""
    before, after = align(source, target)
    first = _gaps(before, after)
    ends: dict[str, list[str]] = {}
    for start in range(first, len(before) + 1):
        changed = "".join(after[start:])
        known = ends.setdefault("".join(before[start:]), [])
        if changed not in known:
            known.append(changed)
    return ("".join(before[:first]), "".join(after[:first])), ends


def align(source: str, target: str) -> tuple[list[str], list[str]]:
    """Both with gaps (empty strings) in them, so that they are of equal length and their edit distance is least.
    Of equal alignments the one with gaps furthest to the right, in the target first."""
    rows, columns = len(source), len(target)
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows + 1):
        for j in range(columns + 1):
            if i or j:
                cost[i][j] = min(value for value, _, _ in _steps(cost, source, target, i, j))
    before, after = [], []
    i, j = rows, columns
    while i or j:
        _, di, dj = min(_steps(cost, source, target, i, j), key=lambda step: step[0])
        before.append(source[i - 1] if di else "")
        after.append(target[j - 1] if dj else "")
        i, j = i - di, j - dj
    return before[::-1], after[::-1]


def _steps(cost: list[list[int]], source: str, target: str, i: int, j: int) -> list[tuple[int, int, int]]:
    """The ways into a cell: (cost so far, source symbols, target symbols)."""
    steps = []
    if i:
        steps.append((cost[i - 1][j] + 1, 1, 0))
    if j:
        steps.append((cost[i][j - 1] + 1, 0, 1))
    if i and j:
        steps.append((cost[i - 1][j - 1] + (source[i - 1] != target[j - 1]), 1, 1))
    return steps


def shift(source: str, target: str) -> tuple[int, int]:
    """How far the beginnings, and the ends, of both are apart if one is put below the other without gaps inside, so
    that as few symbols as possible stand alone or below another one. Of equal ways the target furthest to the right."""
    ways = []
    for start in range(-len(source), len(target) + 1):  # the place in the target below which the source begins
        before, after = abs(start), abs(len(target) - start - len(source))
        different = sum(a != b for a, b in zip(source[max(-start, 0) :], target[max(start, 0) :], strict=False))
        ways.append((before + after + different, before, after))
    best = min(ways, key=lambda way: way[0])
    return best[1:]


def _gaps(before: Sequence[str], after: Sequence[str]) -> int:
    """Where the gaps at the beginning of either end."""
    first = 0
    while first < len(before) and not (before[first] and after[first]):
        first += 1
    return first
