"""Importing torch quickly: it is most of what a short command waits for."""

from __future__ import annotations

import gc
import sys


def import_torch() -> None:
    """Import torch with the garbage collector paused.

    Nothing that an import makes is garbage, but looking for it in a million new objects takes a quarter of the time.
    What exists then is exempt from later collections, too."""
    if "torch" in sys.modules or not gc.isenabled():
        return
    gc.disable()
    try:
        import torch  # noqa: F401

        import elman.tasks.load  # noqa: F401 - which imports what all models need
    finally:
        gc.freeze()
        gc.enable()
