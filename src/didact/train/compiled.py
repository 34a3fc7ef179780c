"""A whole step as one compiled graph: forward, loss, the numbers logged, and every gradient.

``torch.compile`` on the model alone still pays for autograd's bookkeeping at each step; on a small network
that is most of the time. Here the backward pass is traced into the same graph.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from didact.data.batches import Batch
from didact.tasks.task import Step, Task


class CannotCompile(Exception):
    """The step does not make one graph; it holds a recurrent layer, say."""


class CompiledStep:
    """The one step of an ordinary task, compiled at its first call."""

    def __init__(self, task: Task, model: nn.Module, parameters: Sequence[Tensor]):
        from torch._dynamo.exc import TorchDynamoException  # as slow to import as all the rest of torch

        def gradients(batch: Batch, share: float) -> tuple[Step, tuple[Tensor, ...]]:
            (step,) = task.losses(model, batch)
            return Step(step.group, step.loss.detach(), step.logs), torch.autograd.grad(
                step.loss * share, parameters
            )

        self._gradients = torch.compile(gradients, fullgraph=True)
        self._refusal = TorchDynamoException

    def __call__(self, batch: Batch, share: float) -> tuple[Step, tuple[Tensor, ...]]:
        """The step's numbers, and the gradients of ``share`` times its loss.

        Raises:
            CannotCompile: The graph would break.
        """
        try:
            return self._gradients(batch, share)
        except self._refusal as error:
            raise CannotCompile(str(error)) from error


@contextmanager
def tracing_gradients() -> Iterator[None]:
    """Let the compiler trace ``torch.autograd.grad``, for as long as a run lasts."""
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        yield
