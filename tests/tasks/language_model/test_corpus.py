"""From a text to ids: nothing lost, nothing guessed, no matter how it is cut and where it is kept."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import DataError, ElmanError, UsageError
from elman.tasks.language_model.config import CorpusConfig
from elman.tasks.language_model.data import (
    END,
    END_ID,
    Corpus,
    TextSource,
    line_starts,
    make_tokenizer,
    make_vocabulary,
)
from elman.tasks.language_model.job import Lanes, line_batch, window_lengths

LINES = st.lists(st.text("ab c", max_size=9), min_size=1, max_size=12)


def numbered(text: TextSource, **given: object) -> tuple[Corpus, list[str]]:
    config = CorpusConfig(**given)  # type: ignore[arg-type]
    tokenizer = make_tokenizer(config, text)
    vocabulary = make_vocabulary(config, text, tokenizer)
    return Corpus.read(text, tokenizer, vocabulary), vocabulary.items


@settings(deadline=None)
@given(LINES)
def test_characters_give_the_text_back(lines: list[str]) -> None:
    corpus, items = numbered(TextSource.of(lines), tokenizer="characters")
    written = "".join("\n" if i == END_ID else items[i] for i in corpus.ids)
    assert written == "".join(line + "\n" for line in lines)
    assert corpus.characters == len(written) == len(corpus) and corpus.ends == len(lines)


@settings(deadline=None)
@given(LINES)
def test_words_are_what_white_space_divides_and_empty_lines_are_kept(lines: list[str]) -> None:
    corpus, items = numbered(TextSource.of(lines), minimum=1)
    assert [items[i] for i in corpus.ids] == [word for line in lines for word in [*line.split(), END]]
    assert corpus.characters == sum(len(line) + 1 for line in lines)
    starts = line_starts(corpus.ids)
    assert np.diff(starts).tolist() == [len(line.split()) + 1 for line in lines]


def test_a_file_gives_what_lines_in_memory_give(tmp_path: Path) -> None:
    lines = ["Ada lives in London", "", "北京 很 大", "naïve café"] * 20
    path = tmp_path / "text.txt"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    here, items = numbered(TextSource.of(lines))
    text = TextSource.of(path)
    config = CorpusConfig()
    tokenizer = make_tokenizer(config, text)
    vocabulary = make_vocabulary(config, text, tokenizer)
    there = Corpus.read(text, tokenizer, vocabulary, tmp_path / "ids")
    assert vocabulary.items == items and there.digest == here.digest and there.characters == here.characters
    assert isinstance(there.ids, np.memmap) and there.ids.tolist() == here.ids.tolist()


@pytest.mark.parametrize(("words", "minimum", "unknown"), [("a a b", 0, 1), ("a a b <unk>", 0, 1), ("a a b", 1, 0)])
def test_what_is_unknown(words: str, minimum: int, unknown: int) -> None:
    corpus, _ = numbered(TextSource.of([words]), minimum=minimum)
    assert corpus.unknown == unknown
    assert numbered(TextSource.of(["aab"]), tokenizer="characters")[0].unknown == 0


@settings(deadline=None)
@given(LINES, st.floats(0.01, 0.99))
def test_the_parts_of_a_split_are_the_text(lines: list[str], fraction: float) -> None:
    for name in ("characters", "space"):
        tokenizer = make_tokenizer(CorpusConfig(tokenizer=name), TextSource.of(lines))
        whole = [token for tokens, _ in TextSource.of(lines).pieces(tokenizer) for token in tokens]
        try:
            parts = TextSource.of(lines).split(fraction, name)
        except DataError:
            continue
        found = [[token for tokens, _ in part.pieces(tokenizer) for token in tokens] for part in parts]
        assert found[0] + found[1] == whole and found[0] and found[1]
        size = len(whole) if name == "characters" else len(lines)
        first = len(found[0]) if name == "characters" else found[0].count(END)
        assert first == int(size * (1 - fraction))


def test_wrong_texts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the text:2:3: </s> marks the end"):
        numbered(TextSource.of(["a", "b </s>"]))
    with pytest.raises(DataError, match="found none"):
        numbered(TextSource.of([]))
    with pytest.raises(DataError, match=r"no\.txt"):
        numbered(TextSource.of(tmp_path / "no.txt"))
    with pytest.raises(UsageError, match="lines of text"):
        TextSource.of([["a", "b"]])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="between 0 and 1"):
        TextSource.of(["a"]).split(1.5, "space")
    with pytest.raises(DataError, match="set 10% aside"):
        TextSource.of(["a"]).split(0.1, "space")


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_text_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "text"
    path.write_bytes(data)
    for name in ("space", "words", "characters"):
        try:
            corpus, _ = numbered(TextSource.of(path), tokenizer=name)
        except ElmanError:
            continue
        assert corpus.ends == len(data.split(b"\n")) - (not data.split(b"\n")[-1])


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_lanes_predict_every_token_once_after_the_one_before_it(tokens: int, count: int, bptt: int, seed: int) -> None:
    ids = np.arange(10, 10 + tokens, dtype=np.int32)
    lanes = Lanes(ids, count)
    windows = window_lengths(lanes.steps, bptt, random.Random(seed))
    assert sum(length for _, length in windows) == lanes.steps == windows[-1][0] + windows[-1][1]
    assert all(length >= min(5, bptt) for _, length in windows[:-1])
    pairs = []
    for start, length in windows:
        batch = lanes.window(start, length)
        assert batch.first == (start == 0) and len(batch.ids.data) == len(batch.targets) == sum(batch.ids.batch_sizes)
        assert batch.steps == length == len(batch.ids.batch_sizes)
        lane = batch.ids.sequence_of_row
        step = start + batch.ids.position_of_row
        assert torch.equal(batch.targets, torch.from_numpy(lanes.starts)[lane] + step + 10)
        pairs += zip(batch.ids.data.tolist(), batch.targets.tolist(), strict=True)
    assert sorted(pairs, key=lambda pair: pair[1]) == [
        (END_ID if t == 10 else t - 1, t) for t in range(10, 10 + tokens)
    ]


def test_lines_begin_after_an_end() -> None:
    ids = np.array([5, 6, END_ID, END_ID, 7, END_ID], np.int32)
    starts = line_starts(ids)
    batch = line_batch(ids, starts, [2, 0, 1])
    read = [row.tolist() for row in batch.ids.to_list()]
    written = [row.tolist() for row in batch.ids.with_data(batch.targets).to_list()]
    assert read == [[END_ID, 7], [END_ID, 5, 6], [END_ID]] and written == [[7, END_ID], [5, 6, END_ID], [END_ID]]
