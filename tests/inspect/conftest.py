"""Lets the tests of this folder import what they share: `small_models.py` and `views.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
