"""One sentence of the embedded corpus: its words, phrases and constructions. Its purpose: see `elman.text.grammar`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def _words(forms: str) -> list[str]:
    return forms.split()


def _verbs(forms: str) -> list[list[str]]:
    return [verb.split() for verb in forms.split(",")]


# The same in singular and plural.
_ZERO = _words("sheep deer fish salmon trout bison moose squid")
_BEINGS = _words("dog cat boy girl horse cow farmer teacher friend bird king queen sailor doctor")
_PLACES = _words("house garden river barn hill tree village field")
# Plural, singular, past; no past form is also a present.
_TRANSITIVE = _verbs(
    "chase chases chased,see sees saw,hear hears heard,know knows knew,"
    "follow follows followed,feed feeds fed,like likes liked,visit visits visited"
)
_INTRANSITIVE = _verbs(
    "run runs ran,sleep sleeps slept,sing sings sang,swim swims swam,wait waits waited,laugh laughs laughed"
)
_SAYING = _verbs("say says said,think thinks thought,hope hopes hoped")
_COPULAR = _verbs("become becomes became,remain remains remained")
_MODALS = _words("must may might could")
_DETERMINERS = _words("the the my your")
_ADJECTIVES = _words("old young small big brown quiet")
_HERE = _words("here there nearby outdoors upstairs")
_OFTEN = _words("often never always really")
_PREPOSITIONS = _words("near behind with under beside")

_FINITE = "VerbForm=Fin"


class Dice:
    """Draws from `random.random()` alone, whose sequence Python promises to keep from version to version."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def below(self, n: int) -> int:
        return int(self._random() * n)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def chance(self, probability: float) -> bool:
        return self._random() < probability


@dataclass(eq=False, slots=True)
class Word:
    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    head: Word | None = None
    relation: str = "root"
    settled_by: Word | None = None  # what gives an ambiguous noun its number

    def under(self, head: Word, relation: str) -> None:
        self.head, self.relation = head, relation


class Sentence:
    """One sentence. The methods append words from left to right and return the one that others attach to."""

    def __init__(self, dice: Dice, side: str, distance: int, plural: bool) -> None:
        self.dice = dice
        self.words: list[Word] = []
        outer, hung = self._opening()
        if side == "right":
            root = self._noun_then_verb(distance, plural)
        elif distance < 3:
            root = self._determiner_then_noun(distance, plural)
        else:
            root = self._subject_then_noun(distance, plural)
        for word, relation in hung:
            word.under(root, relation)
        if outer:
            root.under(outer, "ccomp")
        self._ending(root)
        self._add(".", ".", "PUNCT", ".").under(outer or root, "punct")

    def _opening(self) -> tuple[Word | None, list[tuple[Word, str]]]:
        """`the teachers outdoors say`, `near the houses ,` or nothing: the first noun need not be the one that counts.

        Returns the verb of an outer clause, if any, and the words that the main clause will govern.
        """
        if self.dice.chance(0.3):
            subject = self._noun_phrase(_BEINGS, self.dice.chance(0.5))
            self._modifiers(subject, self.dice.below(5))
            verb = self._verb(_SAYING, self._tense(subject, False))
            subject.under(verb, "nsubj")
            return verb, []
        if self.dice.chance(0.3):
            return None, [(self._place(), "obl"), (self._add(",", ",", "PUNCT", ","), "punct")]
        return None, []

    def _ending(self, root: Word) -> None:
        """`while the dogs sleep`, `near the houses` or nothing: the last verb need not be the one that counts."""
        if self.dice.chance(0.3):
            link = self._add("while", "while", "SCONJ", "IN")
            subject = self._noun_phrase(_BEINGS, self.dice.chance(0.5))
            self._modifiers(subject, self.dice.below(5))
            verb = self._verb(_INTRANSITIVE, self._tense(subject, False))
            link.under(verb, "mark")
            subject.under(verb, "nsubj")
            verb.under(root, "advcl")
        elif self.dice.chance(0.3):
            self._place().under(root, "obl")

    @property
    def text(self) -> str:
        return " ".join(word.form for word in self.words)

    def conllu(self, *comments: str) -> str:
        ids = {id(word): i for i, word in enumerate(self.words, 1)}
        lines = [f"# {comment}" for comment in (*comments, f"text = {self.text}")]
        for i, word in enumerate(self.words, 1):
            head = ids[id(word.head)] if word.head else 0
            misc = "_"
            if word.settled_by:
                by = ids[id(word.settled_by)]
                misc = f"Distance={abs(i - by)}|Side={'left' if by < i else 'right'}|Head={by}"
            fields = (i, word.form, word.lemma, word.upos, word.xpos, word.feats, head, word.relation, "_", misc)
            lines.append("\t".join(map(str, fields)))
        return "\n".join(lines) + "\n\n"

    # The three constructions

    def _noun_then_verb(self, distance: int, plural: bool) -> Word:
        """`the sheep ... run`, `the sheep ... feed the cows`: distance - 1 words between noun and verb."""
        noun = self._noun_phrase(_ZERO, plural)
        adverbs = self._between(noun, distance - 1)
        transitive = self.dice.chance(0.5)
        verb = self._verb(_TRANSITIVE if transitive else _INTRANSITIVE, plural)
        if transitive:
            self._noun_phrase(_BEINGS, self.dice.chance(0.5)).under(verb, "obj")
        noun.under(verb, "nsubj")
        noun.settled_by = verb
        for adverb in adverbs:
            adverb.under(verb, "advmod")
        return verb

    def _subject_then_noun(self, distance: int, plural: bool) -> Word:
        """`the boys ... became the sheep`, `the boys ... must be the sheep`: verb and determiner show no number."""
        subject = self._noun_phrase(_BEINGS, plural)
        modal = distance > 3 and self.dice.chance(0.5)
        adverbs = self._between(subject, distance - (4 if modal else 3))
        if modal:
            form = self.dice.pick(_MODALS)
            helpers = [(self._add(form, form, "AUX", "MD", _FINITE), "aux")]
            helpers.append((self._add("be", "be", "AUX", "VB", "VerbForm=Inf"), "cop"))
            noun = root = self._noun_phrase(_ZERO, plural, adjectives=0)
            for helper, relation in helpers:
                helper.under(root, relation)
        else:
            root = self._verb(_COPULAR, None)
            noun = self._noun_phrase(_ZERO, plural, adjectives=0)
            noun.under(root, "xcomp")
        subject.under(root, "nsubj")
        noun.settled_by = subject
        for adverb in adverbs:
            adverb.under(root, "advmod")
        return root

    def _determiner_then_noun(self, distance: int, plural: bool) -> Word:
        """`the boys chased these sheep`, at distance 2 `these old sheep`."""
        many = self.dice.chance(0.5)
        subject = self._noun_phrase(_BEINGS, many)
        verb = self._verb(_TRANSITIVE, self.dice.pick([many, None]))
        form, number = ("these", "Plur") if plural else ("this", "Sing")
        determiner = self._add(form, "this", "DET", "DT", f"Number={number}|PronType=Dem")
        noun = self._noun(_ZERO, plural, adjectives=distance - 1)
        determiner.under(noun, "det")
        subject.under(verb, "nsubj")
        noun.under(verb, "obj")
        noun.settled_by = determiner
        return verb

    # What comes between

    def _between(self, noun: Word, length: int) -> list[Word]:
        """Exactly that many words between a subject and its verb; returns the adverbs that belong to the verb."""
        adverbs = min(length, self.dice.pick([0, 0, 0, 1, 2]))
        self._modifiers(noun, length - adverbs, silent=True)
        return [self._adverb(_OFTEN) for _ in range(adverbs)]

    def _modifiers(self, noun: Word, length: int, silent: bool = False) -> None:
        """Exactly that many words that modify a noun. silent: no verb may agree with it."""
        dice = self.dice
        while length > 0:
            if length < 3 or dice.chance(0.1):
                size = 1 if length == 1 else dice.pick([1, 2])
                if size == 1:
                    self._adverb(_HERE).under(noun, "advmod")
                else:
                    that = self._that()
                    verb = self._verb(_INTRANSITIVE, self._tense(noun, silent))
                    that.under(verb, "nsubj")
                    verb.under(noun, "acl:relcl")
                length -= size
                continue
            kind = dice.pick(["object", "object", "subject", "phrase"] if length > 3 else ["reduced", "phrase"])
            own = 4 if kind in ("object", "subject") else 3
            inner = dice.below(length - own + 1)
            length -= own + inner
            if kind == "phrase":
                self._place(inner, adjectives=0).under(noun, "nmod")
            elif kind == "subject":
                that = self._that()
                verb = self._verb(_TRANSITIVE, self._tense(noun, silent))
                thing = self._noun_phrase(_BEINGS, dice.chance(0.5), adjectives=0)
                self._modifiers(thing, inner)
                that.under(verb, "nsubj")
                thing.under(verb, "obj")
                verb.under(noun, "acl:relcl")
            else:
                links = [self._that()] if kind == "object" else []
                agent = self._noun_phrase(_BEINGS, dice.chance(0.5), adjectives=0)
                self._modifiers(agent, inner)
                verb = self._verb(_TRANSITIVE, self._tense(agent, False))
                for that in links:
                    that.under(verb, "obj")
                agent.under(verb, "nsubj")
                verb.under(noun, "acl:relcl")

    def _tense(self, subject: Word, silent: bool) -> bool | None:
        """Present agreeing with the subject (is it plural?), or past (None)."""
        return None if silent or self.dice.chance(0.25) else subject.xpos == "NNS"

    # Words and small phrases

    def _add(self, form: str, lemma: str, upos: str, xpos: str, feats: str = "_") -> Word:
        word = Word(form, lemma, upos, xpos, feats)
        self.words.append(word)
        return word

    def _that(self) -> Word:
        return self._add("that", "that", "PRON", "WDT", "PronType=Rel")

    def _adverb(self, forms: Sequence[str]) -> Word:
        form = self.dice.pick(forms)
        return self._add(form, form, "ADV", "RB")

    def _verb(self, verbs: Sequence[Sequence[str]], plural: bool | None) -> Word:
        """Present, agreeing in number; past when plural is None."""
        base, singular, past = self.dice.pick(verbs)
        if plural is None:
            return self._add(past, base, "VERB", "VBD", f"Mood=Ind|Tense=Past|{_FINITE}")
        number = "Plur" if plural else "Sing"
        feats = f"Mood=Ind|Number={number}|Person=3|Tense=Pres|{_FINITE}"
        return self._add(base if plural else singular, base, "VERB", "VBP" if plural else "VBZ", feats)

    def _noun(self, nouns: Sequence[str], plural: bool, adjectives: int) -> Word:
        described = [self.dice.pick(_ADJECTIVES) for _ in range(adjectives)]
        before = [self._add(form, form, "ADJ", "JJ", "Degree=Pos") for form in described]
        lemma = self.dice.pick(nouns)
        form = lemma + "s" if plural and nouns is not _ZERO else lemma
        noun = self._add(form, lemma, "NOUN", "NNS" if plural else "NN", f"Number={'Plur' if plural else 'Sing'}")
        for word in before:
            word.under(noun, "amod")
        return noun

    def _noun_phrase(self, nouns: Sequence[str], plural: bool, adjectives: int | None = None) -> Word:
        """Determiner, adjectives (None: sometimes one), noun."""
        form = self.dice.pick(_DETERMINERS)
        if form == "the":
            determiner, relation = self._add("the", "the", "DET", "DT", "Definite=Def|PronType=Art"), "det"
        else:
            determiner, relation = self._add(form, form, "PRON", "PRP$", "Poss=Yes|PronType=Prs"), "nmod:poss"
        noun = self._noun(nouns, plural, int(self.dice.chance(0.25)) if adjectives is None else adjectives)
        determiner.under(noun, relation)
        return noun

    def _place(self, inner: int = 0, adjectives: int | None = None) -> Word:
        """`near the old houses`, with `inner` words that modify the noun."""
        form = self.dice.pick(_PREPOSITIONS)
        preposition = self._add(form, form, "ADP", "IN")
        noun = self._noun_phrase(self.dice.pick([_BEINGS, _PLACES]), self.dice.chance(0.5), adjectives)
        self._modifiers(noun, inner)
        preposition.under(noun, "case")
        return noun
