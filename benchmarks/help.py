"""Seconds until `elman --help` and the help of each command answer, as whole processes: medians."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time

from machine import machine

COMMANDS = [[], ["check"], ["train", "tag"], ["eval"], ["predict"], ["info"], ["demo"], ["data"], ["doctor"]]


def main() -> None:
    program = shutil.which("elman") or sys.exit("expected `elman` on the PATH: activate its environment")
    print(machine())
    for command in COMMANDS:
        times = []
        for _ in range(11):
            began = time.monotonic()
            subprocess.run([program, *command, "--help"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - began)
        print(f"{' '.join(['elman', *command, '--help']):28s} {statistics.median(times[1:]):.3f} s")


if __name__ == "__main__":
    main()
