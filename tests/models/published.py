"""Networks that torchvision or timm publish too: the same names and shapes, and the same answer from them.

``reference/<name>.txt`` holds the state dict of theirs, ``name shape`` a line, in its order. Their answers
are recorded for weights that a seed gives, so neither is needed here.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

REFERENCE = Path(__file__).parent / "reference"


def on_paper(build: Callable[[], nn.Module]) -> nn.Module:
    """The network without memory for its weights, which can be counted at once."""
    with torch.device("meta"):
        return build()


def count(model: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(p.numel() for p in model.parameters())


def listed(model: nn.Module) -> list[str]:
    """Its state dict in the form of ``reference/``."""
    return [
        f"{name} {'x'.join(map(str, tensor.shape)) or 'scalar'}"
        for name, tensor in model.state_dict().items()
    ]


def reference(name: str) -> list[str]:
    """The state dict of the published network."""
    return (REFERENCE / f"{name}.txt").read_text().splitlines()


def seeded_weights(model: nn.Module) -> nn.Module:
    """Give a network from ``on_paper`` memory, and weights that keep the scale of a signal."""
    model = model.to_empty(device="cpu").eval()
    draw = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.dim() > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=draw) / 10)
        else:
            tensor.zero_()
    return model


def answer(model: nn.Module, side: int) -> list[float]:
    """The first three logits of one image."""
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(image)[0, :3].tolist()


def close(found: list[float], recorded: list[float]) -> bool:
    """Equal but for the order of sums."""
    return torch.allclose(Tensor(found), Tensor(recorded), rtol=1e-3, atol=1e-3)
