"""The order of axes: libraries and notes name the same numbers in different orders.

images     HWC   notes 002, TensorFlow, image files            CHW   torch
filters    HWOI  notes 002    HWIO  TensorFlow    IOHW  notes 001    OIHW  torch
"""

# B batch, C channels, H W height and width, I O channels that a filter reads and makes

from torch import Tensor

from didact.errors import UsageError


def to_layout(x: Tensor, given: str, wanted: str) -> Tensor:
    """Reorder axes by their letters.

    Example:
        >>> import torch
        >>> to_layout(torch.zeros(28, 32, 3), "HWC", "CHW").shape
        torch.Size([3, 28, 32])
        >>> to_layout(torch.zeros(5, 5, 3, 10), "HWIO", "OIHW").shape
        torch.Size([10, 3, 5, 5])

    Raises:
        UsageError: The letters differ, repeat, or are not as many as x has axes.
    """
    if sorted(given) != sorted(wanted) or len(set(given)) != len(given):
        raise UsageError(f"wanted={wanted!r}: must have each letter of {given!r} once")
    if len(given) != x.dim():
        raise UsageError(
            f"given={given!r}: names {len(given)} axes, x of shape {tuple(x.shape)} has {x.dim()}"
        )
    return x.permute([given.index(letter) for letter in wanted])
