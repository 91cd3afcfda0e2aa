"""python measured.py REPORT COMMAND...: run a command; write its exit code, seconds and peak memory to REPORT, as JSON.

A separate and small process, which imports nothing from elman: what the kernel counts for a child includes, from
before its program starts, the memory of the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main(report: str, *command: str) -> int:
    """The command's exit code, as a shell gives it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # they are for the command, which gets them too
    began = time.monotonic()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with open(report, "w", encoding="utf-8") as file:
        json.dump({"code": code, "seconds": time.monotonic() - began, "memory": memory}, file)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
