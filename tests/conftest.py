"""One thread for every test: small tensors gain nothing from more, and idle OpenMP threads spin."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is first imported, and for every child process
