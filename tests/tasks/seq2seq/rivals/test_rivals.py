"""The rivals of sequence to sequence: copying, remembering, rules of prefixes and suffixes, the joint n-gram model."""

import json
import math
import random
import warnings

import pytest

from elman.errors import ModelError, UsageError
from elman.tasks.seq2seq.rivals.copying import Copying
from elman.tasks.seq2seq.rivals.joint import JointNgram, joined
from elman.tasks.seq2seq.rivals.memorising import Memorising
from elman.tasks.seq2seq.rivals.rules import AffixRules, align, extract, shift
from elman.text.pair import Pair

PLURAL, PAST = ("N", "PL"), ("V", "PST")
INFLECTION = [
    Pair("cat", ["cats"], PLURAL),
    Pair("dog", ["dogs"], PLURAL),
    Pair("fox", ["foxes"], PLURAL),
    Pair("kiss", ["kisses"], PLURAL),
    Pair("talk", ["talked"], PAST),
    Pair("walk", ["walked"], PAST),
    Pair("talk", ["talk", "talks"], PLURAL),
    Pair("", [""], ("X",)),
]
SOUNDS = [
    Pair("φως", ["fos"]),
    Pair("νους", ["nus"]),
    Pair("ους", ["us"]),
    Pair("φους", ["fus"]),
    Pair("中文", ["zhong wen"]),
    Pair("中", ["zhong"]),
    Pair("文", ["wen"]),
    Pair("νος", ["nos", "noz"]),
]
ODD = ["", "ναυς", "文中", "q", "φοος", "a b\tc", "\U0001f600"]


def joint(pairs, **settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the discounts of order", UserWarning)
        return JointNgram(**{"order": 3, **settings}).fit(pairs)


def fitted():
    return [
        Copying().fit(INFLECTION),
        Memorising().fit(INFLECTION),
        AffixRules().fit(INFLECTION),
        AffixRules(target_tokenizer="space").fit(SOUNDS),
        joint(INFLECTION),
        joint(SOUNDS),
        joint(SOUNDS, target_tokenizer="words", order=1),
    ]


MODELS = fitted()
QUESTIONS = [*INFLECTION, *SOUNDS, *(Pair(text) for text in ODD), *(Pair(text, None, PAST) for text in ODD)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_a_saved_model_answers_alike(model, tmp_path):
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model")
    for n in (1, 3):
        assert again.predict(QUESTIONS, nbest=n, beam=n) == model.predict(QUESTIONS, nbest=n, beam=n)
    assert again.describe() == model.describe()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_answers(model):
    answers = model.predict(QUESTIONS, nbest=3, beam=3)
    for pair, one in zip(QUESTIONS, answers, strict=True):
        assert model.predict([pair], nbest=3, beam=3) == [one]
        assert model.predict([pair])[0].answers == one.answers[:1]
        scores = [answer.score for answer in one.answers]
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) for score in scores)
        for answer in one.answers:
            assert answer.symbols == model.target_tokenizer.split(answer.text)
            if answer.alignment is not None:
                places = len(model.source(pair).read())
                assert len(answer.alignment) == len(answer.symbols)
                assert all(0 <= place < max(places, 1) for place in answer.alignment)
    assert model.predict([]) == []


@pytest.mark.parametrize("settings", [{"temperature": 1.0}, {"min_length": 2}, {"max_length": 3}])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_what_a_rival_cannot_do_is_refused(model, settings):
    with pytest.raises(UsageError, match=f"a model of kind {model.kind} has no temperature"):
        model.predict(["cat"], **settings)


BROKEN = {
    "memory.json": [
        {},
        [1],
        [["a", ["b"]]],
        [["a", [1], [["b", 1]]]],
        [["a", [], [["b", 0]]]],
        [["a", [], []]],
    ],
    "rules.json": [
        [],
        {"reversed": 1, "rules": []},
        {"reversed": True, "rules": [[["a"], {"b": 1}, []]]},
        {"reversed": True, "rules": [[["a"], {}, [["b"]]]]},
    ],
    "chunks.json": [
        [],
        {"chunks": [[["a"], "b"]], "ngram": {}},
        {"chunks": [], "ngram": {"order": 9}},
    ],
}


@pytest.mark.parametrize(("model", "file"), [*zip((MODELS[1], MODELS[2], MODELS[5]), BROKEN, strict=True)])
def test_a_broken_file_is_named(model, file, tmp_path):
    model.save(tmp_path / "model")
    for value in BROKEN[file]:
        (tmp_path / "model" / file).write_text(json.dumps(value))
        with pytest.raises(ModelError, match="expected"):
            type(model).load(tmp_path / "model")


def test_chunks_that_the_ngram_model_does_not_have(tmp_path):
    MODELS[5].save(tmp_path / "model")
    file = tmp_path / "model" / "chunks.json"
    stored = json.loads(file.read_text())
    stored["chunks"].append([["a"], ["b"]])
    file.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="expected every chunk in the n-gram model"):
        JointNgram.load(tmp_path / "model")


def test_copying():
    model = Copying(target_tokenizer="words").fit(INFLECTION)
    assert model("don't 中文 ", PAST) == "don't 中文 "
    (answer,) = model.predict([Pair("ab", None, ("X", "Y"))])[0].answers
    assert answer.alignment is None  # symbols of different kinds
    (answer,) = MODELS[0].predict([Pair("ab", None, ("X", "Y"))])[0].answers
    assert answer.alignment == [2, 3]


def test_remembering():
    pairs = [Pair("a", ["x", "y"]), Pair("a", ["z"]), Pair("a", ["z", "y"]), Pair("a", ["b"], ("F",))]
    model = Memorising().fit(pairs)
    answers = model.predict(["a"], nbest=3, beam=3)[0].answers
    assert [answer.text for answer in answers] == ["y", "z", "x"]
    assert [math.exp(answer.log_probability) for answer in answers] == pytest.approx([0.4, 0.4, 0.2])
    assert [model("a", ("F",)), model("a", ("G",)), model("b")] == ["b", "a", "b"]


def test_the_example_of_the_shared_task():
    before, after = align("schielen", "geschielt")
    assert ["-".join(side) for side in (before, after)] == ["--s-c-h-i-e-l-e-n", "g-e-s-c-h-i-e-l-t-"]
    prefix, ends = extract("schielen", "geschielt")
    assert prefix == ("", "ge")
    wanted = {"n": "", "en": "t", "len": "lt", "elen": "elt", "ielen": "ielt", "hielen": "hielt"}
    assert ends == {end: [changed] for end, changed in ({"": ""} | wanted | {"chielen": "chielt"}).items()} | {
        "schielen": ["schielt"]
    }
    # a second pair, so that suffixes change more than prefixes
    model = AffixRules().fit([Pair("schielen", ["geschielt"], ("V.PTCP",)), Pair("holen", ["hol"], ("V.IMP",))])
    assert model("kaufen", ("V.PTCP",)) == "gekauft"
    assert model("kaufen", ("V",)) == model("kaufen") == "kaufen"  # features that were never seen


def test_rules():
    model = AffixRules().fit(INFLECTION)
    known = {"box": "boxes", "pass": "passes", "log": "logs", "hat": "hats", "ebb": "ebb"}  # no rule for -b
    assert {word: model(word, PLURAL) for word in known} == known
    assert model("milk", PAST) == "milked"
    assert not model._reversed
    # no features at all; of the rules for -a the most frequent
    model = AffixRules().fit([Pair(*pair) for pair in (("ra", ["ro"]), ("ka", ["kas"]), ("ta", ["tas"]))])
    assert [model("ma"), model("fra")] == ["mas", "fro"]


def test_rules_of_a_prefixing_language():
    words = ("tala", "zaba", "soti", "mero")
    model = AffixRules().fit([Pair(word, [("in" if word[0] in "aeiou" else "ni") + word]) for word in words])
    assert model._reversed
    assert "right to left" in model.describe()[0]
    assert model("kora") == "nikora"
    # the longest rule: what follows the prefix decides
    model = AffixRules().fit([Pair("tala", ["nitala"]), Pair("tola", ["nitola"]), Pair("alta", ["nalta"])])
    assert [model("tula"), model("asta")] == ["nitula", "nasta"]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("abc", "xyabc", (2, 0)), ("abc", "abcz", (0, 1)), ("xabc", "abcz", (1, 1)), ("", "ab", (0, 2)), ("", "", (0, 0))],
)
def test_shift(source, target, expected):
    assert shift(source, target) == expected


def test_what_reads_nothing_joins_its_neighbour():
    def chunks(*pairs):
        return [(tuple(before), tuple(after)) for before, after in pairs]

    assert joined(chunks(("", "x"), ("", "y"), ("a", "z"), ("b", ""), ("", "u"), ("", "v"))) == chunks(
        ("a", "xyz"), ("b", "uv")
    )
    assert joined(chunks(("", "x"), ("", "y"))) == chunks(("", "xy"))
    assert joined([]) == []


def test_joint_model_learns_what_depends_on_neighbours():
    """c is s before e and i, and k otherwise; x is two symbols, ph is one, a final e is none."""
    generator = random.Random(1)
    parts = [*"aeiobdlmnrtx", "ce", "ci", "ca", "co", "pa", "ph"]
    words = ["".join(generator.choice(parts) for _ in range(4)) for _ in range(400)]

    def sound(word):
        for before, after in (("ce", "se"), ("ci", "si"), ("c", "k"), ("ph", "f"), ("x", "ks")):
            word = word.replace(before, after)
        return " ".join(word[:-1] if word[-1] == "e" else word)

    model = joint([Pair(word, [sound(word)]) for word in words[:350]], target_tokenizer="space")
    assert [model(word) for word in words[350:]] == [sound(word) for word in words[350:]]
    (answer,) = model.predict(["phax"])[0].answers
    assert (answer.symbols, answer.alignment) == (["f", "a", "k", "s"], [0, 2, 3, 3])
    assert model("aQo") == "a Q o"  # a symbol never seen is copied
    assert model("ca", ("NEW",)) == model("ca")  # a feature never seen is left out


def test_results_are_written(tmp_path):
    model = Memorising().fit(INFLECTION, test=INFLECTION, out=tmp_path / "model")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["test"] == model.evaluate(INFLECTION).to_json()
    assert metrics["test"]["accuracy"] == 1.0
