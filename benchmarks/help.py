"""Seconds until `elman --help` and the help of each command answer, as whole processes: medians."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from machine import machine

COMMANDS = [[], ["check"], ["train", "tag"], ["eval"], ["predict"], ["info"], ["demo"], ["data"], ["doctor"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    print(machine())
    for command in COMMANDS:
        times = []
        for _ in range(runs + 1):
            began = time.monotonic()
            subprocess.run([sys.executable, "-m", "elman", *command, "--help"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - began)
        print(f"{' '.join(['elman', *command, '--help']):28s} {statistics.median(times[1:]):.3f} s")


if __name__ == "__main__":
    main()
