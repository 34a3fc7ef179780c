"""Who watches a run: the doctor, or nobody, behind the same calls.

A style asks its `Clinic` for a doctor, in either of the two ways that a user has; afterwards the clinic knows
the doctor that was used, and with it the report.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class Nobody:
    """The doctor's calls, and nothing behind them."""

    chart = None

    def on_start(self, model: Any, optimizer: Any, loss_fn: Any, loader: Any) -> None: ...

    def on_step(self, loss: Any, batch: Any) -> None: ...

    def on_epoch(self, train_metrics: dict[str, float], val_metrics: dict[str, float]) -> None: ...

    def report(self) -> None: ...

    def close(self) -> None: ...


class Clinic:
    """Hands out doctors and remembers the last."""

    def __init__(self) -> None:
        self.last: Any = Nobody()

    def doctor(self) -> Any:
        return self.last

    @contextmanager
    def watch(self, model: Any, optimizer: Any) -> Iterator[Any]:
        """Nobody watches."""
        yield self.last


class DidactClinic(Clinic):
    """The doctor under examination."""

    def doctor(self) -> Any:
        from didact.doctor.doctor import Doctor

        self.last = Doctor()
        return self.last

    def watch(self, model: Any, optimizer: Any) -> AbstractContextManager[Any]:
        from didact.doctor.doctor import watch

        return self._remember(watch(model, optimizer))

    @contextmanager
    def _remember(self, watched: AbstractContextManager[Any]) -> Iterator[Any]:
        with watched as self.last:
            yield self.last


def open_clinic(watched: bool = True) -> Clinic:
    return DidactClinic() if watched else Clinic()
