"""A whole step as one compiled graph: forward, loss, the numbers logged, and every gradient.

``torch.compile`` on the model alone still pays for autograd's bookkeeping at each step; on a small network
that is most of the time. Here the backward pass is traced into the same graph.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException as CannotCompile

from didact.data.batches import Batch
from didact.tasks.task import Step, Task

__all__ = ["CannotCompile", "CompiledStep", "tracing_gradients"]


class CompiledStep:
    """The one step of an ordinary task, compiled at its first call.

    Calling it raises ``CannotCompile`` where the graph would break: in a recurrent layer, say.
    """

    def __init__(self, task: Task, model: nn.Module, parameters: Sequence[Tensor]):
        def gradients(batch: Batch, share: float) -> tuple[Step, tuple[Tensor, ...]]:
            (step,) = task.losses(model, batch)
            return Step(step.group, step.loss.detach(), step.logs), torch.autograd.grad(
                step.loss * share, parameters
            )

        self._gradients = torch.compile(gradients, fullgraph=True)

    def __call__(self, batch: Batch, share: float) -> tuple[Step, tuple[Tensor, ...]]:
        """The step's numbers, and the gradients of ``share`` times its loss."""
        return self._gradients(batch, share)


@contextmanager
def tracing_gradients() -> Iterator[None]:
    """Let the compiler trace ``torch.autograd.grad``, for as long as a run lasts."""
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        yield
