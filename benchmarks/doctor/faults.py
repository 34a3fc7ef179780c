"""Every fault there is: the injectors of all families, in one table.

The table is written by the files of `injectors/`, one a group of families; `fault.py` says what a fault is.
"""

import importlib

from fault import FAULTS, Fault

from tasks import TASKS

for family in ("data", "labels", "architecture", "losses", "optimisation", "habits", "generative"):
    importlib.import_module(f"injectors.{family}")

CODES = tuple(sorted({fault.code for fault in FAULTS}))


def find_fault(key: str) -> Fault:
    """The fault of a key such as ``O01/lr_too_high/x100``."""
    return next(fault for fault in FAULTS if fault.key == key)


def check_table() -> None:
    """Keys are unique and tasks exist."""
    keys = [fault.key for fault in FAULTS]
    assert len(keys) == len(set(keys))
    assert all(name in TASKS for fault in FAULTS for name in fault.tasks)
