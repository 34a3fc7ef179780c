"""Local response normalisation against torch's, which divides alpha by n, and on paper."""

import pytest
import torch
from torch import nn

from didact.errors import UsageError
from didact.nn.lrn import LocalResponseNorm


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("channels", [2, 16])
def test_equals_torch(size: int, channels: int):
    torch.manual_seed(0)
    x = (10 * torch.randn(2, channels, 4, 3, dtype=torch.float64)).requires_grad_()
    mine = LocalResponseNorm(size, alpha=0.02, beta=0.6, k=1.5)(x)
    theirs = nn.LocalResponseNorm(size, alpha=0.02 * size, beta=0.6, k=1.5)(x)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(out.sum(), x)[0] for out in (mine, theirs)))


def test_a_strong_neighbour_damps():
    """Four channels with neighbourhoods of three: 1 + 0, 4, 9 and 0 squared, k + sum to the power -1."""
    x = torch.tensor([1.0, 2.0, 3.0, 0.0]).view(1, 4, 1, 1)
    out = LocalResponseNorm(size=3, alpha=1.0, beta=1.0, k=1.0)(x).flatten()
    torch.testing.assert_close(out, torch.tensor([1 / 6, 2 / 15, 3 / 14, 0.0]))


def test_the_papers_constants():
    norm = LocalResponseNorm()
    assert (norm.size, norm.k, norm.alpha, norm.beta) == (5, 2, 1e-4, 0.75)


@pytest.mark.parametrize("size", [0, 4])
def test_the_neighbourhood_has_a_middle(size: int):
    with pytest.raises(UsageError, match=f"size={size}: must be odd"):
        LocalResponseNorm(size)
