"""Damages model.bin of every small model, 10,000 times in all unless told otherwise: fuzz_c.py [COUNT] [SEED]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import exported_models as small
import test_c


def main() -> None:
    count, seed = map(int, [*sys.argv[1:], "10000", "1"][:2] if len(sys.argv) == 1 else [*sys.argv[1:], "1"][:2])
    with tempfile.TemporaryDirectory() as folder:
        for name in small.MODELS:
            print(name, test_c.fuzzed(Path(folder), name, -(-count // len(small.MODELS)), seed), end="", flush=True)


if __name__ == "__main__":
    main()
