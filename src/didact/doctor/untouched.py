"""What happens inside leaves the run as it was: its random numbers, and its screen."""

import io
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class _Hushed(io.TextIOBase):
    """A screen on which this thread writes nothing, and all others what they like."""

    def __init__(self, screen: Any):
        self.screen, self.owner = screen, threading.get_ident()

    def write(self, text: str) -> int:
        """To the screen, unless it is ours."""
        return len(text) if threading.get_ident() == self.owner else int(self.screen.write(text))

    def flush(self) -> None:
        """The screen."""
        self.screen.flush()


@contextmanager
def untouched() -> Iterator[None]:
    """Leave every random number generator as it was, and the screen."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's own generator
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    told, sys.stdout = sys.stdout, _Hushed(sys.stdout)
    hushed = sys.stdout
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            if sys.stdout is hushed:
                sys.stdout = told
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
