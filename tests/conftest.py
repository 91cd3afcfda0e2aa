"""What every test takes for granted of the process that it runs in."""

import os
import signal

# One thread: small tensors gain nothing from more, and idle OpenMP threads spin. Before torch is first imported, and
# for every child process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started in the background, a shell's children ignore Ctrl-C, and so would the programs that these tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
