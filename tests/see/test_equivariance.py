"""Inductive bias, measured: a convolution's map moves with the image, a Vision Transformer's does not."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.models.cnn.mnist_cnn import MnistCNN
from didact.models.transformer.vit import ViT
from didact.see.equivariance import shift_error


@pytest.fixture
def images() -> Tensor:
    """Something in the middle of an image, with room to move."""
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(4, 1, 28, 28)
    images[..., 8:16, 8:16] = torch.randn(4, 1, 8, 8, generator=generator)
    return images


def tokens(model: ViT):
    """What a ViT makes of each patch, as maps (B, D, S / P, S / P)."""

    def maps(x: Tensor) -> Tensor:
        z = model.conv_proj(x).flatten(2).transpose(1, 2)
        z = torch.cat([model.class_token.expand(len(z), -1, -1), z], dim=1)
        side = model.image_size // model.patch_size
        return model.encoder(z)[:, 1:].transpose(1, 2).unflatten(2, (side, side))

    return maps


def vit(seed: int, positions: bool = True) -> ViT:
    torch.manual_seed(seed)
    model = ViT(image_size=28, patch_size=4, dim=32, depth=2, num_heads=4, in_channels=1).eval()
    if not positions:
        nn.init.zeros_(model.encoder.pos_embedding)
    return model


@pytest.mark.parametrize("pixels", [1, 3, 8])
def test_a_convolutions_map_moves_with_the_image(images: Tensor, pixels: int):
    torch.manual_seed(0)
    assert shift_error(MnistCNN().conv1, images, pixels) == pytest.approx(0, abs=1e-6)


def test_after_pooling_the_map_moves_by_whole_pixels_of_its_own(images: Tensor):
    torch.manual_seed(0)
    model = MnistCNN()
    after_pooling = nn.Sequential(model.conv1, model.act1, model.pool1)
    assert shift_error(after_pooling, images, 4) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_vision_transformers_map_does_not(images: Tensor, seed: int):
    """The map of the moved image differs from the moved map by about as much as the map varies at all."""
    assert shift_error(tokens(vit(seed)), images, 4) > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_positions_that_hold_it_to_its_place(images: Tensor, seed: int):
    """Without them attention does not know where it is, and a shift by a whole patch is another order."""
    assert shift_error(tokens(vit(seed, positions=False)), images, 4) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_and_the_edges_of_its_patches(images: Tensor, seed: int):
    """Even without positions a shift by half a patch gives other patches."""
    maps = tokens(vit(seed, positions=False))
    fine = lambda x: maps(x).repeat_interleave(4, -1).repeat_interleave(4, -2)  # noqa: E731
    assert shift_error(fine, images, 2) > 0.5


def test_a_shift_by_less_than_a_pixel_of_the_map_is_refused(images: Tensor):
    with pytest.raises(UsageError, match=r"^pixels=3: must be a multiple of 4"):
        shift_error(tokens(vit(0)), images, 3)
