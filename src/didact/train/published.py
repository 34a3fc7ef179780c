"""Weights that others publish for networks of the catalogue, and how their images were prepared.

A weights file does not say how the images were read that it was trained on, yet with other means and sizes it
answers badly and nobody is told. Here each published file is listed with what belongs to it. Addresses and
sizes are torchvision's (``torchvision.models``, 0.29), those of timm come with its files (``config.json``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

ADDRESS = "https://download.pytorch.org/models/"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Pixels:
    """How an image becomes numbers: resize its shorter side, cut out the middle, subtract, divide."""

    side: int = 224
    resize: int = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"

    def knobs(self) -> dict[str, Any]:
        """The same as knobs of a recipe."""
        return {
            "image_size": self.side,
            "channels": len(self.mean),
            "crop": self.side / self.resize if self.resize else 0.0,
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
        }


USUAL, SHARPER = Pixels(), Pixels(resize=232)
# torchvision's own two feed these networks (x - mean) / std and undo it inside (transform_input=True).
GOOGLE = Pixels(mean=HALF, std=HALF)
GOOGLE_299 = Pixels(299, 342, HALF, HALF)
TIMM = Pixels(224, 249, HALF, HALF, "bicubic")

FILES: Mapping[str, tuple[str, Pixels]] = MappingProxyType(
    {  # file: network, how its images were read; of two for one network the first is the better
        "alexnet-owt-7be5be79.pth": ("alexnet", USUAL),
        "vgg11-8a719046.pth": ("vgg11", USUAL),
        "vgg11_bn-6002323d.pth": ("vgg11-bn", USUAL),
        "vgg13-19584684.pth": ("vgg13", USUAL),
        "vgg13_bn-abd245e5.pth": ("vgg13-bn", USUAL),
        "vgg16-397923af.pth": ("vgg16", USUAL),
        "vgg16_bn-6c64b313.pth": ("vgg16-bn", USUAL),
        "vgg19-dcbb9e9d.pth": ("vgg19", USUAL),
        "vgg19_bn-c79401a0.pth": ("vgg19-bn", USUAL),
        "googlenet-1378be20.pth": ("googlenet", GOOGLE),
        "inception_v3_google-0cc3c7bd.pth": ("inception-v3", GOOGLE_299),
        "resnet18-f37072fd.pth": ("resnet18", USUAL),
        "resnet34-b627a593.pth": ("resnet34", USUAL),
        "resnet50-11ad3fa6.pth": ("resnet50", SHARPER),
        "resnet50-0676ba61.pth": ("resnet50", USUAL),
        "resnet101-cd907fc2.pth": ("resnet101", SHARPER),
        "resnet101-63fe2227.pth": ("resnet101", USUAL),
        "resnet152-f82ba261.pth": ("resnet152", SHARPER),
        "resnet152-394f9c45.pth": ("resnet152", USUAL),
        "wide_resnet50_2-9ba9bcbe.pth": ("wide-resnet50-2", SHARPER),
        "wide_resnet50_2-95faca4d.pth": ("wide-resnet50-2", USUAL),
        "wide_resnet101_2-d733dc28.pth": ("wide-resnet101-2", SHARPER),
        "wide_resnet101_2-32ee1156.pth": ("wide-resnet101-2", USUAL),
        "resnext50_32x4d-1a0047aa.pth": ("resnext50-32x4d", SHARPER),
        "resnext50_32x4d-7cdf4587.pth": ("resnext50-32x4d", USUAL),
        "resnext101_32x8d-110c445d.pth": ("resnext101-32x8d", SHARPER),
        "resnext101_32x8d-8ba56ff5.pth": ("resnext101-32x8d", USUAL),
        "densenet121-a639ec97.pth": ("densenet121", USUAL),
        "densenet161-8d451a50.pth": ("densenet161", USUAL),
        "densenet169-b2777c0a.pth": ("densenet169", USUAL),
        "densenet201-c1103571.pth": ("densenet201", USUAL),
        "mobilenet_v2-7ebf99e0.pth": ("mobilenet-v2", SHARPER),
        "mobilenet_v2-b0353104.pth": ("mobilenet-v2", USUAL),
        "vit_b_16-c867db91.pth": ("vit-b-16", USUAL),
        "vit_b_32-d86f8d99.pth": ("vit-b-32", USUAL),
        "vit_l_16-852ce7e3.pth": ("vit-l-16", Pixels(resize=242)),
        "vit_l_32-c7638314.pth": ("vit-l-32", USUAL),
    }
)
ELSEWHERE: Mapping[str, Pixels] = MappingProxyType(  # networks whose weights only timm publishes
    {
        "xception": Pixels(299, 333, HALF, HALF, "bicubic"),
        "mobilenet-v1": TIMM,
        "vit-ti-16": TIMM,
        "vit-s-16": TIMM,
        "vit-s-32": TIMM,
    }
)


def published_file(model: str) -> str | None:
    """The file of the best weights that torchvision publishes for a network."""
    return next((file for file, (network, _) in FILES.items() if network == model), None)


def pixels_of(model: str, file: str) -> Pixels:
    """How images are read for a file of weights: its own way if it is listed, else the network's usual."""
    if file in FILES:
        return FILES[file][1]
    usual = published_file(model)
    return FILES[usual][1] if usual else ELSEWHERE.get(model, USUAL)


def pixels_of_config(config: Mapping[str, Any]) -> Pixels:
    """How images are read, from the ``config.json`` that timm puts beside its weights."""
    said = config.get("pretrained_cfg", config)
    side = int(said.get("input_size", (3, 224, 224))[-1])
    share = float(said.get("crop_pct", 0.875))
    return Pixels(
        side,
        int(side / share),
        tuple(said.get("mean", IMAGENET_MEAN)),
        tuple(said.get("std", IMAGENET_STD)),
        "bicubic" if said.get("interpolation") == "bicubic" else "bilinear",
    )
