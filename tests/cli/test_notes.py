"""Warnings of elman's own are notes on standard error; all others stay as Python shows them."""

import subprocess
import sys

CODE = """
import warnings
from elman.cli.main import _prepare_warnings
from elman.errors import SlowPath
_prepare_warnings()
warnings.warn("Norm is slow", SlowPath)
warnings.warn("something else")
"""


def test_a_slow_path_is_a_note():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, *rest = done.stderr.splitlines()
    assert first == "note: Norm is slow" and done.stdout == ""
    assert any("UserWarning: something else" in line for line in rest)
