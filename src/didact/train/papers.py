"""How the authors trained their networks: the recipes of the papers, for large data and large machines.

``didact train resnet50 --recipe paper --data ./imagenet`` starts from one of these and not from the small
recipe for two cores. What a paper has and the recipe cannot say is named in ``differs``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from didact.errors import UsageError


@dataclass(frozen=True)
class Paper:
    """The training of one paper.

    Attributes:
        networks: Names in the catalogue, or what they begin with.
        source: Where it stands.
        knobs: Of the recipe; the network itself is the published one.
        differs: What is otherwise there.
    """

    networks: tuple[str, ...]
    source: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""


def sgd(lr: float, **knobs: Any) -> dict[str, Any]:
    """Gradient descent with momentum 0.9, which nearly all of them use."""
    return {"optimizer": "sgd", "momentum": 0.9, "lr": lr, **knobs}


PLATEAU = {"schedule": "plateau", "decay": 0.1}
THIRDS = {"schedule": "step", "step_epochs": 30, "decay": 0.1}  # of 90 epochs
COLOURS = ("flip", "crop:0.88", "pca:0.1")
SCALES = ("flip", "crop:0.47")  # 224 pixels out of a shorter side of 256 to 480

PAPERS = (
    Paper(
        ("lenet5",),
        "LeCun et al. 1998, section III",
        sgd(0.0005, momentum=0.0, epochs=20, batch_size=1, schedule="exponential", decay=0.8, image_size=32),
        "rates that fall in given steps, for each weight by the diagonal of the Hessian; another loss",
    ),
    Paper(
        ("alexnet",),
        "Krizhevsky et al. 2012, section 5",
        sgd(0.01, epochs=90, batch_size=128, weight_decay=0.0005, **PLATEAU, image_size=227, augment=COLOURS),
        "the crops have one scale, 256",
    ),
    Paper(
        ("vgg",),
        "Simonyan and Zisserman 2014, section 3.1",
        sgd(0.01, epochs=74, batch_size=256, weight_decay=0.0005, **PLATEAU, image_size=224, augment=SCALES),
        "scales up to 512; the deep ones began from the layers of a trained VGG-11",
    ),
    Paper(
        ("googlenet",),
        "Szegedy et al. 2014, section 6",
        sgd(
            0.01,
            epochs=90,
            batch_size=128,
            schedule="step",
            step_epochs=8,
            decay=0.96,
            image_size=224,
            augment=SCALES,
        ),
        "asynchronous workers, averaged weights, more kinds of crops; first rate and epochs are not told",
    ),
    Paper(
        ("resnet", "plain"),
        "He et al. 2015, section 3.4; notes 001, section X.5, which print a weight decay of 1e-5",
        sgd(0.1, epochs=120, batch_size=256, weight_decay=0.0001, **PLATEAU, image_size=224, augment=SCALES),
        "colours moved along their principal components too",
    ),
    Paper(
        ("wrn28-10",),
        "Zagoruyko and Komodakis 2016, section 3: CIFAR",
        sgd(
            0.1,
            nesterov=True,
            epochs=200,
            batch_size=128,
            weight_decay=0.0005,
            schedule="step",
            step_epochs=60,
            decay=0.2,
            augment=("flip", "shift:4"),
        ),
        "its third drop comes after 160 epochs, not 180",
    ),
    Paper(
        ("wide-resnet", "resnext"),
        "Xie et al. 2016, section 4.2; Zagoruyko and Komodakis 2016, section 3.4",
        sgd(
            0.1,
            epochs=90,
            batch_size=256,
            weight_decay=0.0001,
            **THIRDS,
            image_size=224,
            augment=SCALES,
        ),
        "crops of other proportions",
    ),
    Paper(
        ("densenet",),
        "Huang et al. 2016, section 4.2",
        sgd(
            0.1,
            nesterov=True,
            epochs=90,
            batch_size=256,
            weight_decay=0.0001,
            **THIRDS,
            image_size=224,
            augment=SCALES,
        ),
        "crops of other proportions",
    ),
    Paper(
        ("inception-v3",),
        "Szegedy et al. 2015, section 8",
        {
            "optimizer": "rmsprop",
            "rho": 0.9,
            "lr": 0.045,
            "schedule": "step",
            "step_epochs": 2,
            "decay": 0.94,
            "epochs": 100,
            "batch_size": 32,
            "clip_norm": 2.0,
            "ema": 0.9999,
            "image_size": 299,
            "augment": SCALES,
            "task_args": {"label_smoothing": 0.0999},
        },
        "50 replicas of that batch, an epsilon of 1 in the optimizer",
    ),
    Paper(
        ("xception",),
        "Chollet 2016, section 4.3",
        sgd(
            0.045,
            epochs=120,
            batch_size=256,
            weight_decay=0.00001,
            schedule="step",
            step_epochs=2,
            decay=0.94,
            ema=0.9999,
            image_size=299,
            augment=SCALES,
        ),
        "60 GPUs; the size of a batch, the epochs and the augmentation are not told",
    ),
    Paper(
        ("mobilenet-v1", "mobilenet-v2"),
        "Howard et al. 2017, section 3.2; Sandler et al. 2018, section 6.1",
        {
            "optimizer": "rmsprop",
            "rho": 0.9,
            "momentum": 0.9,
            "lr": 0.045,
            "schedule": "exponential",
            "decay": 0.98,
            "epochs": 300,
            "batch_size": 96,
            "weight_decay": 0.00004,
            "image_size": 224,
            "augment": SCALES,
        },
        "16 asynchronous workers of that batch; no decay on depthwise filters; the epochs are not told",
    ),
    Paper(
        ("vit",),
        "Dosovitskiy et al. 2020, appendix B.1: training on ImageNet",
        {
            "optimizer": "adamw",
            "betas": (0.9, 0.999),
            "lr": 0.003,
            "weight_decay": 0.3,
            "schedule": "cosine",
            "warmup": 32.0,
            "epochs": 300,
            "batch_size": 4096,
            "clip_norm": 1.0,
            "image_size": 224,
            "augment": SCALES,
            "model_args": {"dropout": 0.1},
        },
        "the decay is given as Adam's and works apart from the gradient",
    ),
)


def paper_of(model: str) -> Paper:
    """The paper's recipe for a network of the catalogue.

    Raises:
        UsageError: None is written down.
    """
    near = [paper for paper in PAPERS if any(model.startswith(name) for name in paper.networks)]
    if not near:
        raise UsageError(f"no paper's recipe is known for {model}; leave --recipe paper out")
    return max(near, key=lambda paper: max(len(n) for n in paper.networks if model.startswith(n)))
