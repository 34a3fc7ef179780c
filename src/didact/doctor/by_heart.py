"""Can a copy of the model learn one batch by heart? Karpathy's recipe: overfit one batch."""

import copy
import math
from contextlib import suppress
from time import thread_time

import torch
from torch import nn

from didact.doctor.inputs import Inputs, answer_of, shaped_as
from didact.doctor.taps import LossCall
from didact.doctor.untouched import untouched

RATES, TRIES, LONGEST = (1e-2, 1e-3, 1e-1), 100, 2.0  # steps, seconds


def by_heart(model: nn.Module, inputs: Inputs, call: LossCall) -> float | None:
    """What is left of the loss of one batch that a copy tried to learn by heart, at the best of three rates.

    Args:
        model: As it is now; it is copied.
        inputs: One batch.
        call: The loss that was computed of it, which knows the targets.

    Returns:
        The smallest loss; None where the model cannot be copied or asked alone, or where two seconds were not
        enough to tell.
    """
    best, until = math.inf, thread_time() + LONGEST
    with untouched(), suppress(RuntimeError, TypeError, ValueError, AttributeError), torch.enable_grad():
        for rate in RATES:
            twin = copy.deepcopy(model).train()
            best = min(best, _learned(twin, inputs, call, rate, until))
    told = math.isfinite(best) and (thread_time() < until or best < 0.5 * float(call.value.mean()))
    return best if told else None


def _learned(twin: nn.Module, inputs: Inputs, call: LossCall, rate: float, until: float) -> float:
    """The smallest loss on the way, by Adam (Kingma and Ba 2015) written out: no optimizer is heard."""
    weights = [p for p in twin.parameters() if p.requires_grad]
    means, squares = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    best = math.inf
    for step in range(1, TRIES + 1):
        answer = answer_of(twin(*inputs.args, **inputs.kwargs))
        if answer is None or thread_time() > until:
            break
        loss = call.again(shaped_as(answer, call.given), call.target).mean()
        best = min(best, float(loss.detach())) if torch.isfinite(loss) else best
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
                if gradient is not None:
                    mean.lerp_(gradient, 0.1)
                    square.lerp_(gradient**2, 0.01)
                    size = (square / (1 - 0.99**step)).sqrt_().add_(1e-8)
                    weight.addcdiv_(mean, size, value=-rate / (1 - 0.9**step))
    return best
