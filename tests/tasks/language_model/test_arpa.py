"""ARPA text: what is written is read again, by KenLM too, and a broken file is named with its line."""

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError, UsageError
from elman.tasks.language_model.rivals.ngram import NGram

SMALL = r"""\data\
ngram 1=4
ngram 2=3

\1-grams:
-1	<unk>	0
-99	<s>	-0.3
-0.4	</s>
-0.5	a	-0.2

\2-grams:
-0.1	<s> a
-0.7	a </s>
-0.6	a a

\end\
"""
words = st.sampled_from(["a", "b", "ß", "日本", "\xa0", "\\end\\", "-1", "<unk>"])
corpora = st.lists(st.lists(words, min_size=1, max_size=6), min_size=1, max_size=12)


def fit(sentences, order):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the discounts of order", UserWarning)
        return NGram.fit(sentences, order)


@pytest.fixture
def small(tmp_path):
    def write(text, name="small.arpa"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
def test_round_trip(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("arpa") / name

    @settings(deadline=None, max_examples=40)
    @given(corpora, corpora, st.integers(1, 5))
    def check(sentences, others, order):
        model = fit(sentences, order)
        model.save_arpa(path)
        again = NGram.load_arpa(path)
        assert again.vocabulary == model.vocabulary and again.order == order
        for text in [*sentences, *others, []]:
            # The format has no logarithm of 0: -99 stands for it.
            scores, expected = np.maximum(again.score(text), -200), np.maximum(model.score(text), -200)
            assert scores == pytest.approx(expected, abs=1e-7)
            assert again.next_distribution(text) == pytest.approx(model.next_distribution(text), abs=1e-7)

    check()


def test_kenlm_gives_the_same_scores(tmp_path):
    kenlm = pytest.importorskip("kenlm", reason="the oracle kenlm is not installed")
    rng = np.random.default_rng(1)
    text = [[("<unk>", "a", "b", "c", "d", "é")[int(w) % 6] for w in rng.zipf(1.5, n)] for n in rng.integers(1, 12, 60)]
    for order in range(2, 7):
        model = fit(text[:40], order)
        model.save_arpa(tmp_path / f"{order}.arpa")
        other = kenlm.Model(str(tmp_path / f"{order}.arpa"))
        for sentence in [*text, ["new", "a", "new", "b"], []]:
            expected = [log for log, _, _ in other.full_scores(" ".join(sentence))]
            assert np.array(model.score(sentence)) / math.log(10) == pytest.approx(expected, abs=1e-5)


def test_a_file_is_scored_as_backoff_says(small):
    """By hand: what is stored, else the context's backoff and the order below."""
    model = NGram.load_arpa(small(SMALL))
    logs = np.array(model.score(["a", "a", "new"])) / math.log(10)
    assert logs == pytest.approx([-0.1, -0.6, -0.2 - 1, 0 - 0.4])
    assert model.next_distribution([]) == pytest.approx([10**-1.3, 0, 10**-0.7, 10**-0.1])


def test_other_layouts_of_the_same_file(small):
    expected = NGram.load_arpa(small(SMALL)).score(["a", "a", "new"])
    loose = SMALL.replace("\t", "  ").replace("\\data\\", "\n\n\\data\\ ").replace("ngram 2=", "ngram  2 = ")
    assert NGram.load_arpa(small(loose.replace("-99  <s>", "0  <s>"))).score(["a", "a", "new"]) == expected
    turned = SMALL.replace("-0.7\ta </s>\n-0.6\ta a", "-0.6\ta a\n-0.7\ta </s>")
    assert NGram.load_arpa(small(turned.replace("\n", "\r\n"))).score(["a", "a", "new"]) == expected


def test_a_file_without_unk(small):
    text = SMALL.replace("-1\t<unk>\t0\n", "").replace("1=4", "1=3")
    with pytest.warns(UserWarning, match="has no <unk>"):
        model = NGram.load_arpa(small(text))
    assert model.score(["new"])[0] == pytest.approx((-0.3 - 100) * math.log(10))


BROKEN = {
    "empty": (SMALL, "", 1, r"expected \\data\\, found the end"),
    "another file": (r"\data" + "\\", "hello", 1, "found 'hello'"),
    "no counts": (SMALL, "\\data\\\n", 1, "found the end"),
    "gap in the orders": ("ngram 2=3", "ngram 3=3", 3, "expected 'ngram 2='"),
    "too few": ("1=4", "1=5", 10, "expected 5 1-grams as the header says, found 4"),
    "too few at the end": ("2=3", "2=4", 15, "expected 4 2-grams as the header says, found 3"),
    "too many": ("1=4", "1=3", 9, r"expected \\2-grams:, found '-0.5"),
    "cut": ("\n-0.6\ta a\n\n\\end\\\n", "\n", 13, "expected 3 2-grams as the header says, found 2"),
    "no end": ("\\end\\\n", "", 15, r"expected \\end\\, found the end"),
    "fields": ("-0.6\ta a", "-0.6\ta", 14, "expected a logarithm and 2 words, found"),
    "backoff at the top": ("-0.6\ta a", "-0.6\ta a\t-1", 14, "expected a logarithm and 2 words, found"),
    "number": ("-0.6\t", "x\t", 14, "expected a number"),
    "backoff number": ("a\t-0.2", "a\tx", 9, "expected a number"),
    "nan": ("-0.6\t", "nan\t", 14, "at most 0"),
    "positive": ("-0.6\t", "0.6\t", 14, "at most 0"),
    "backoff nan": ("a\t-0.2", "a\tnan", 9, "logarithm of a backoff"),
    "twice": ("-0.6\ta a", "-0.6\t<s> a", 14, "each 2-gram once"),
    "unigram twice": ("-1\t<unk>", "-1\ta", 9, "'a' again"),
    "word": ("-0.6\ta a", "-0.6\ta z", 14, "'z'"),
    "no end word": ("</s>\n-0.5", "end\n-0.5", 6, "expected </s> among"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file(case, small):
    old, new, line, message = BROKEN[case]
    path = small(SMALL.replace(old, new, 1))
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:{line}: .*{message}"):
        NGram.load_arpa(path)


def test_a_context_that_is_missing(small):
    text = SMALL.replace("ngram 2=3", "ngram 2=3\nngram 3=2").replace(
        "\\end", "\\3-grams:\n-0.1\t<s> a a\n-0.2\t<s> </s> a\n\n\\end"
    )
    path = small(text)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:19: expected the first 2 words among the 2-grams"):
        NGram.load_arpa(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="found nothing"):
        NGram.load_arpa(tmp_path / "none.arpa")


@pytest.mark.parametrize("word", ["a b", "", "a\tb", "a\n"])
def test_a_word_that_the_format_cannot_hold(word, tmp_path):
    with pytest.raises(UsageError, match="without blanks"):
        fit([["a", word]], 2).save_arpa(tmp_path / "a.arpa")
    assert not list(tmp_path.iterdir())
