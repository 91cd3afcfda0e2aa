"""A session of a million words: microseconds for each, beside `predict` on whole sentences, and memory over time."""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

import torch

import elman
from machine import machine
from serve_load import trained


def memory() -> float:
    """Peak resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--hidden", type=int, default=200, help="units")
    parser.add_argument("--delay", type=int, default=2)
    parser.add_argument("--crf", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        sentences = trained(Path(name), given.hidden, delay=given.delay, crf=given.crf)
        tagger = elman.load(Path(name) / "tagger")
    session, tags, parts = tagger.session(), 0, 5
    words = itertools.cycle([word for sentence in sentences for word in sentence])
    print(machine(), "1 thread", sep=", ")
    for part in range(parts):
        began = time.perf_counter()
        for word in itertools.islice(words, given.words // parts):
            tags += len(session.push(word))
        took = 1e6 * (time.perf_counter() - began) / (given.words // parts)
        done = (part + 1) * (given.words // parts)
        print(f"{done:10,} words: {took:6.1f} us a word, peak {memory():.0f} MB, state {len(session.save()):,} bytes")
    tags += len(session.finish())
    if tags != parts * (given.words // parts):
        raise SystemExit(f"expected a tag for each word, found {tags}")
    many = list(itertools.islice(itertools.cycle(sentences), max(given.words // 200, 1)))
    with tagger.remembering():
        tagger.predict(sentences)
        for what, batches in (("alone", [[one] for one in many]), ("in batches", [many])):
            began = time.perf_counter()
            for batch in batches:
                tagger.predict(batch)
            took = 1e6 * (time.perf_counter() - began) / sum(map(len, many))
            print(f"predict, sentences {what}: {took:.1f} us a word")


if __name__ == "__main__":
    main()
