"""Functions that a watched script runs in other processes: they are watched there, where torch is in use.

It imports no torch, so that a process that does without stays as light as it was.
"""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

OURS = "torch.multiprocessing.spawn"  # it calls the script's function
NEVER = ("torch", "multiprocessing", "concurrent", "joblib", "loky")  # workers that load or serve


def worth_watching(target: Callable[..., Any]) -> bool:
    """Whether a process with this target may train: not the workers of loaders and pools."""
    while isinstance(target, functools.partial):
        target = target.func
    home = getattr(target, "__module__", None) or ""
    return home == OURS or home.split(".")[0] not in NEVER


class Elsewhere:
    """Calls a target under observation, and leaves the reports in a folder."""

    def __init__(self, target: Callable[..., Any], folder: str, options: Mapping[str, Any]):
        self.target, self.folder, self.options = target, folder, options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In the other process."""
        if "torch" not in sys.modules:
            return self.target(*args, **kwargs)
        from didact.doctor.observation import Observation

        if Observation.current is not None:  # forked
            Observation.current.leave()
        whole = False
        with Observation(quiet=True, **self.options) as seen:
            try:
                result = self.target(*args, **kwargs)
                whole = True
                return result
            finally:
                seen.finish(whole)
                seen.write(self.folder)
