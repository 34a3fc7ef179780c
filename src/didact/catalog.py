"""Every architecture, in course order. The one list; nothing is registered by side effect.

No torch here: an entry names its class by import path, and ``build`` imports it on demand.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from didact.errors import UsageError, suggest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """One architecture.

    Attributes:
        target: Import path of its class, ``package.module:Class``.
        tasks: What it can learn, the usual one first.
        about: One line for a newcomer.
        source: Paper and section of the notes.
        data: The embedded data it trains on when none is named.
        inputs: Kinds of input it takes (``didact.data.facts``).
        parameters: How many numbers it learns, built by name alone or, where the data decides, for it.
        arguments: Constructor arguments that make the class this network (``{"depth": 18}``): what they
            are by default under this name, in place of the class's own defaults.
        recipe: Its default training recipe, where that differs from ``Recipe``'s own defaults.
        tiny: Constructor arguments of a size that builds in an instant, for the contract test.
        excuses: Checks of the contract test that cannot hold, with the reason.
    """

    target: str
    tasks: tuple[str, ...]
    about: str
    source: str
    data: str
    inputs: tuple[str, ...]
    parameters: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tiny: Mapping[str, Any] = field(default_factory=dict)
    excuses: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> "type[nn.Module]":
        """Import the class."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)


def on_digits(
    target: str,
    about: str,
    source: str,
    parameters: int,
    arguments: Mapping[str, Any],
    *,
    small: Mapping[str, Any],
    tiny: Mapping[str, Any],
    excuses: Mapping[str, str] = MappingProxyType({}),
    **knobs: Any,
) -> Entry:
    """An image classifier made for larger images, with a recipe for the digits in a small width.

    ``small`` are the constructor arguments of the default recipe, since few maps suit two cores; ``knobs``
    are what else it changes; the rest is as in ``Entry``.
    """
    recipe: dict[str, Any] = {
        "epochs": 12,
        "optimizer": "adamw",
        "lr": 0.003,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "warmup": 1.0,
        "image_size": 32,
        "augment": ("shift:3",),
        "model_args": small,
    }
    return Entry(
        target,
        tasks=("classify",),
        about=about,
        source=source,
        data="digits",
        inputs=("image",),
        parameters=parameters,
        arguments=arguments,
        recipe=recipe | knobs,
        tiny={"in_channels": 1, "num_classes": 10, **tiny},
        excuses=excuses,
    )


UNNORMALISED = "deep and without normalisation, or with little of it: at a rate of 0.02 its rectifiers die"

CATALOG: Mapping[str, Entry] = MappingProxyType(
    {
        "softmax-regression": Entry(
            "didact.models.linear.softmax_regression:SoftmaxRegression",
            tasks=("classify",),
            about="one score per class, linear in the input: the baseline of every classifier",
            source="Cox 1958; notes 001, sections II.3 and III",
            data="iris",
            inputs=("table", "image", "bag"),
            parameters=15,
            recipe={"epochs": 100, "batch_size": 16, "optimizer": "sgd", "lr": 0.1},
            tiny={"in_features": 8, "num_classes": 3},  # as many inputs as examples: fits any labels
        ),
        "mlp": Entry(
            "didact.models.linear.mlp:MLP",
            tasks=("classify", "regress"),
            about="fully connected layers from a list of widths and activations",
            source="Rumelhart, Hinton and Williams 1986; notes 001, section III",
            data="digits",
            inputs=("table", "image", "bag"),
            parameters=4_810,
            recipe={"epochs": 60, "batch_size": 32, "optimizer": "adam", "lr": 0.003},
            tiny={"in_features": 4, "out_features": 3, "widths": (8,)},
        ),
        "lenet5": Entry(
            "didact.models.cnn.lenet:LeNet5",
            tasks=("classify",),
            about="the first convolutional network that read handwriting",
            source="LeCun, Bottou, Bengio and Haffner 1998; notes 001, section X.1",
            data="digits",
            inputs=("image",),
            parameters=61_706,
            recipe={
                "epochs": 60,
                "optimizer": "adam",
                "lr": 0.003,
                "schedule": "cosine",
                "image_size": 32,
                "augment": ("shift:3", "noise:0.2"),
            },
            tiny={"in_channels": 1, "num_classes": 10},
        ),
        "mnist-cnn": Entry(
            "didact.models.cnn.mnist_cnn:MnistCNN",
            tasks=("classify",),
            about="two padded convolutions and a linear layer: the digit network of the notes",
            source="LeCun, Bottou, Bengio and Haffner 1998; notes 004, CNN Examples 3 and 4",
            data="digits",
            inputs=("image",),
            parameters=83_466,
            recipe={
                "epochs": 20,
                "batch_size": 128,
                "optimizer": "adam",
                "lr": 0.001,
                "image_size": 28,
                "augment": ("shift:3",),
            },
            tiny={"width": 0.25},
        ),
        "cnn": Entry(
            "didact.models.cnn.cnn:CNN",
            tasks=("classify",),
            about="the standard plan from numbers: blocks of convolutions and a pooling, connected layers",
            source="LeCun, Bottou, Bengio and Haffner 1998; notes 001, section IX, and 002, section 5.1",
            data="digits",
            inputs=("image",),
            parameters=545_098,
            recipe={
                "epochs": 20,
                "optimizer": "adam",
                "lr": 0.002,
                "schedule": "cosine",
                "image_size": 16,
                "augment": ("shift:2",),
                "model_args": {"batch_norm": True},
            },
            tiny={"maps": (4, 8), "widths": (8,), "in_channels": 1, "image_size": 8},
        ),
        "alexnet": on_digits(
            "didact.models.cnn.alexnet:AlexNet",
            "five convolutions and three wide linear layers, with ReLU and dropout, in one column",
            "Krizhevsky 2014; notes 000, section 2.3.1, and 001, section X.2",
            61_100_840,
            {},
            small={"width": 0.25},
            tiny={"width": 0.03, "dropout": 0.0},
            image_size=64,
            epochs=20,
            lr=0.001,
            augment=("shift:6",),
            excuses={"rate": UNNORMALISED},
        ),
        "alexnet-one-tower": on_digits(
            "didact.models.cnn.alexnet:AlexNet2012",
            "AlexNet as the notes count it: one tower of 96 filters, local response normalisation",
            "Krizhevsky, Sutskever and Hinton 2012; notes 002, section 5.1.3.2, and 004, CNN architectures",
            62_378_344,
            {"groups": 1},
            small={"width": 0.25},
            tiny={"width": 0.03, "dropout": 0.0},
            image_size=67,
            epochs=20,
            lr=0.001,
            augment=("shift:6",),
            excuses={"rate": UNNORMALISED},
        ),
        "alexnet-two-group": on_digits(
            "didact.models.cnn.alexnet:AlexNet2012",
            "the AlexNet of 2012, whose two halves kept a GPU each busy",
            "Krizhevsky, Sutskever and Hinton 2012; notes 001, section X.2, and 002, section 5.1.3.2",
            60_965_224,
            {"groups": 2},
            small={"width": 0.25},
            tiny={"width": 0.03, "dropout": 0.0},
            image_size=67,
            epochs=20,
            lr=0.001,
            augment=("shift:6",),
            excuses={"rate": UNNORMALISED},
        ),
        "vgg11": on_digits(
            "didact.models.cnn.vgg:VGG",
            "nothing but 3x3 convolutions and poolings: the shallowest of the family",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            132_863_336,
            {"depth": 11, "batch_norm": False},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            epochs=24,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg11-bn": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG-11 with batch normalisation",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            132_868_840,
            {"depth": 11, "batch_norm": True},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
        ),
        "vgg13": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG with 13 layers",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            133_047_848,
            {"depth": 13, "batch_norm": False},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            epochs=24,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg13-bn": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG-13 with batch normalisation",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            133_053_736,
            {"depth": 13, "batch_norm": True},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
        ),
        "vgg16": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG with 16 layers, the one that everyone used",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            138_357_544,
            {"depth": 16, "batch_norm": False},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            epochs=24,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg16-bn": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG-16 with batch normalisation",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            138_365_992,
            {"depth": 16, "batch_norm": True},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg19": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG with 19 layers, the deepest",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            143_667_240,
            {"depth": 19, "batch_norm": False},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            epochs=40,
            batch_size=16,
            lr=0.0005,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg19-bn": on_digits(
            "didact.models.cnn.vgg:VGG",
            "VGG-19 with batch normalisation",
            "Simonyan and Zisserman 2014; notes 000, section 2.3.2, and 001, section X.3",
            143_678_248,
            {"depth": 19, "batch_norm": True},
            small={"width": 0.125},
            tiny={"width": 0.03, "dropout": 0.0},
            epochs=40,
            batch_size=32,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "googlenet": on_digits(
            "didact.models.cnn.googlenet:GoogLeNet",
            "inception modules: filters of three sizes side by side, behind 1x1 reductions",
            "Szegedy et al. 2014; notes 000, section 2.3.3, and 001, section X.6",
            13_004_888,
            {},
            small={"width": 0.25},
            tiny={"width": 0.05, "dropout": 0.0},
            batch_size=32,
            image_size=64,
            augment=("shift:6",),
        ),
        "resnet18": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "residual blocks, each of which learns what to add to its input",
            "He, Zhang, Ren and Sun 2015; notes 001, sections X.4 and X.5",
            11_689_512,
            {"depth": 18},
            small={"width": 0.25, "stem": "cifar"},
            tiny={"depth": 10, "width": 0.125, "stem": "cifar"},
        ),
        "resnet34": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "ResNet with 34 layers",
            "He, Zhang, Ren and Sun 2015; notes 001, sections X.4 and X.5",
            21_797_672,
            {"depth": 34},
            small={"width": 0.25, "stem": "cifar"},
            tiny={"depth": 10, "width": 0.125, "stem": "cifar"},
        ),
        "resnet50": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "ResNet with 50 layers, in blocks that narrow to a quarter of the maps",
            "He, Zhang, Ren and Sun 2015; notes 001, sections X.4 and X.5",
            25_557_032,
            {"depth": 50},
            small={"width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "width": 0.125, "stem": "cifar"},
            batch_size=32,
        ),
        "resnet101": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "ResNet with 101 layers",
            "He, Zhang, Ren and Sun 2015; notes 001, sections X.4 and X.5",
            44_549_160,
            {"depth": 101},
            small={"width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "width": 0.125, "stem": "cifar"},
            batch_size=32,
        ),
        "resnet152": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "ResNet with 152 layers, the winner of ImageNet 2015",
            "He, Zhang, Ren and Sun 2015; notes 001, sections X.4 and X.5",
            60_192_808,
            {"depth": 152},
            small={"width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "width": 0.125, "stem": "cifar"},
            batch_size=32,
        ),
        "plain18": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "the twin of ResNet-18 without shortcuts",
            "He, Zhang, Ren and Sun 2015; notes 001, section X.5",
            11_515_688,
            {"depth": 18, "shortcut": "none"},
            small={"width": 0.25, "stem": "cifar"},
            tiny={"depth": 10, "width": 0.125, "stem": "cifar"},
        ),
        "plain34": on_digits(
            "didact.models.cnn.resnet:ResNet",
            "the twin of ResNet-34 without shortcuts, which trains worse than the shallower one",
            "He, Zhang, Ren and Sun 2015; notes 001, section X.5",
            21_623_848,
            {"depth": 34, "shortcut": "none"},
            small={"width": 0.25, "stem": "cifar"},
            tiny={"depth": 10, "width": 0.125, "stem": "cifar"},
            batch_size=32,
        ),
        "wrn28-10": on_digits(
            "didact.models.cnn.wide_resnet:WRN",
            "a residual network for small images, 28 layers deep and ten times as wide",
            "Zagoruyko and Komodakis 2016; notes 000, section 2.3.4",
            36_479_194,
            {"depth": 28, "widen": 10},
            small={"widen": 1},
            tiny={"depth": 10, "widen": 1},
        ),
        "wide-resnet50-2": on_digits(
            "didact.models.cnn.wide_resnet:WideResNet",
            "ResNet-50 with twice the maps inside its blocks",
            "Zagoruyko and Komodakis 2016; notes 000, section 2.3.4",
            68_883_240,
            {"depth": 50, "widen": 2},
            small={"width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "width": 0.125, "stem": "cifar"},
            batch_size=32,
        ),
        "wide-resnet101-2": on_digits(
            "didact.models.cnn.wide_resnet:WideResNet",
            "ResNet-101 with twice the maps inside its blocks",
            "Zagoruyko and Komodakis 2016; notes 000, section 2.3.4",
            126_886_696,
            {"depth": 101, "widen": 2},
            small={"width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "width": 0.125, "stem": "cifar"},
            epochs=8,
            batch_size=32,
        ),
        "resnext50-32x4d": on_digits(
            "didact.models.cnn.resnext:ResNeXt",
            "ResNet-50 whose blocks keep their maps in 32 separate groups",
            "Xie, Girshick, Dollar, Tu and He 2016; notes 000, section 2.3.4",
            25_028_904,
            {"depth": 50, "cardinality": 32, "group_width": 4},
            small={"cardinality": 8, "width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "cardinality": 2, "width": 0.125, "stem": "cifar"},
            epochs=8,
            batch_size=32,
        ),
        "resnext101-32x8d": on_digits(
            "didact.models.cnn.resnext:ResNeXt",
            "ResNet-101 whose blocks keep their maps in 32 separate groups of 8",
            "Xie, Girshick, Dollar, Tu and He 2016; notes 000, section 2.3.4",
            88_791_336,
            {"depth": 101, "cardinality": 32, "group_width": 8},
            small={"cardinality": 4, "width": 0.125, "stem": "cifar"},
            tiny={"depth": 14, "cardinality": 2, "width": 0.125, "stem": "cifar"},
            epochs=6,
            batch_size=32,
        ),
        "densenet121": on_digits(
            "didact.models.cnn.densenet:DenseNet",
            "every layer reads the maps of all layers before it",
            "Huang, Liu, van der Maaten and Weinberger 2016; notes 000, section 2.3.4",
            7_978_856,
            {"depth": 121, "growth": 32},
            small={"growth": 8, "stem": "cifar"},
            tiny={"depth": 21, "growth": 4, "stem": "cifar"},
            epochs=8,
            batch_size=32,
        ),
        "densenet161": on_digits(
            "didact.models.cnn.densenet:DenseNet",
            "DenseNet with 161 layers, each of which adds 48 maps",
            "Huang, Liu, van der Maaten and Weinberger 2016; notes 000, section 2.3.4",
            28_681_000,
            {"depth": 161, "growth": 48},
            small={"growth": 8, "stem": "cifar"},
            tiny={"depth": 21, "growth": 4, "stem": "cifar"},
            epochs=6,
            batch_size=32,
        ),
        "densenet169": on_digits(
            "didact.models.cnn.densenet:DenseNet",
            "DenseNet with 169 layers",
            "Huang, Liu, van der Maaten and Weinberger 2016; notes 000, section 2.3.4",
            14_149_480,
            {"depth": 169, "growth": 32},
            small={"growth": 8, "stem": "cifar"},
            tiny={"depth": 21, "growth": 4, "stem": "cifar"},
            epochs=6,
            batch_size=32,
        ),
        "densenet201": on_digits(
            "didact.models.cnn.densenet:DenseNet",
            "DenseNet with 201 layers",
            "Huang, Liu, van der Maaten and Weinberger 2016; notes 000, section 2.3.4",
            20_013_928,
            {"depth": 201, "growth": 32},
            small={"growth": 8, "stem": "cifar"},
            tiny={"depth": 21, "growth": 4, "stem": "cifar"},
            epochs=6,
            batch_size=32,
        ),
        "inception-v3": on_digits(
            "didact.models.cnn.inception_v3:InceptionV3",
            "inception modules with 7x7 filters taken apart into 1x7 and 7x1",
            "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2015; notes 001, section X.7",
            27_161_264,
            {},
            small={"width": 0.125, "auxiliary": False},
            tiny={"width": 0.05, "dropout": 0.0, "auxiliary": False},
            epochs=16,
            batch_size=32,
            image_size=112,
            augment=("shift:10",),
        ),
        "xception": on_digits(
            "didact.models.cnn.xception:Xception",
            "convolutions that look around in each map by itself, then mix the maps",
            "Chollet 2016; notes 001, section X.7",
            22_855_952,
            {},
            small={"width": 0.25, "stem": "cifar"},
            tiny={"middle_blocks": 1, "width": 0.02, "stem": "cifar"},
        ),
        "mobilenet-v1": on_digits(
            "didact.models.cnn.mobilenet_v1:MobileNetV1",
            "depthwise filters and pointwise mixing in place of convolutions",
            "Howard et al. 2017; notes 004, CNN architectures",
            4_231_976,
            {},
            small={"width": 0.25},
            tiny={"width": 0.05},
            epochs=24,
            batch_size=16,
            lr=0.005,
            image_size=64,
            augment=("shift:6",),
        ),
        "mobilenet-v2": on_digits(
            "didact.models.cnn.mobilenet_v2:MobileNetV2",
            "blocks that expand, filter each map by itself and project back to thin ends",
            "Sandler, Howard, Zhu, Zhmoginov and Chen 2018; after MobileNet of notes 004",
            3_504_872,
            {},
            small={"width": 0.25},
            tiny={"width": 0.05, "dropout": 0.0},
            batch_size=16,
            image_size=64,
            augment=("shift:6",),
        ),
        "elman": Entry(
            "didact.models.recurrent.elman:Elman",
            tasks=("language",),
            about="the simple recurrent network, predicting the next character",
            source="Elman 1990; notes 000, section 4.1 and 004, recurrent networks",
            data="manual",
            inputs=("tokens",),
            parameters=115_495,
            recipe={
                "epochs": 10,
                "batch_size": 16,
                "context": 100,
                "optimizer": "adam",
                "lr": 0.002,
                "schedule": "cosine",
                "clip_norm": 1.0,
                "ema": 0.998,
            },
            tiny={"vocab_size": 11, "embedding_dim": 8, "hidden_dim": 16},
            excuses={
                "onnx-time": "torch.onnx unrolls nn.RNN: the exported network reads texts of one length"
            },
        ),
        "lstm": Entry(
            "didact.models.recurrent.lstm:LSTM",
            tasks=("language",),
            about="recurrence with gates and a cell that remembers, predicting the next character",
            source="Hochreiter and Schmidhuber 1997; notes 000, section 4.2",
            data="manual",
            inputs=("tokens",),
            parameters=738_535,
            recipe={
                "epochs": 15,
                "batch_size": 16,
                "context": 100,
                "optimizer": "adam",
                "lr": 0.003,
                "schedule": "cosine",
                "clip_norm": 1.0,
                "ema": 0.998,
                "model_args": {"hidden_dim": 384, "dropout": 0.5},
            },
            tiny={"vocab_size": 11, "embedding_dim": 8, "hidden_dim": 16},
        ),
        "vit-ti-16": on_digits(
            "didact.models.transformer.vit:ViT",
            "an image read as a sentence of patches of 16x16 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            5_717_416,
            {"patch_size": 16, "dim": 192, "depth": 12, "num_heads": 3},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-ti-32": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, tiny, patches of 32x32 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            6_131_560,
            {"patch_size": 32, "dim": 192, "depth": 12, "num_heads": 3},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-s-16": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, small, patches of 16x16 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            22_050_664,
            {"patch_size": 16, "dim": 384, "depth": 12, "num_heads": 6},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-s-32": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, small, patches of 32x32 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            22_878_952,
            {"patch_size": 32, "dim": 384, "depth": 12, "num_heads": 6},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-b-16": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, base, patches of 16x16 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            86_567_656,
            {"patch_size": 16, "dim": 768, "depth": 12, "num_heads": 12},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-b-32": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, base, patches of 32x32 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            88_224_232,
            {"patch_size": 32, "dim": 768, "depth": 12, "num_heads": 12},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-l-16": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, large, patches of 16x16 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            304_326_632,
            {"patch_size": 16, "dim": 1024, "depth": 24, "num_heads": 16},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "vit-l-32": on_digits(
            "didact.models.transformer.vit:ViT",
            "Vision Transformer, large, patches of 32x32 pixels",
            "Dosovitskiy et al. 2020; notes 004, Vision Transformer",
            306_535_400,
            {"patch_size": 32, "dim": 1024, "depth": 24, "num_heads": 16},
            small={"patch_size": 4, "dim": 64, "depth": 4, "num_heads": 4},
            tiny={"image_size": 32, "patch_size": 8, "dim": 16, "depth": 2, "num_heads": 2},
            epochs=25,
            batch_size=32,
            lr=0.002,
            warmup=3.0,
        ),
        "gan": Entry(
            "didact.models.generate.gan:GAN",
            tasks=("adversarial",),
            about="a generator and a discriminator that play against each other: Example 1 of the notes",
            source="Goodfellow et al. 2014; notes 004, GAN Example 1",
            data="gaussian",
            inputs=("sample",),
            parameters=187,
            recipe={
                "epochs": 60,
                "batch_size": 128,
                "optimizer": "adam",
                "lr": 0.002,
                "betas": (0.0, 0.99),
                "lr_scale": {"discriminator": 2.0},
                "ema": 0.995,
            },
            tiny={},
            excuses={"memorise": "a game has no targets; what it learns is a distribution"},
        ),
    }
)


def find(name: str) -> Entry:
    """Look an entry up; hyphens, underscores and case do not matter.

    Raises:
        UsageError: No such architecture; the message suggests the nearest name.
    """
    return CATALOG[canonical(name)]


def canonical(name: str) -> str:
    """The catalogue's spelling of a name."""
    plain = {key.replace("-", ""): key for key in CATALOG}
    key = plain.get(name.lower().replace("_", "").replace("-", ""))
    if key is None:
        raise UsageError(f"unknown model {name!r}; {suggest(name, CATALOG)}")
    return key


def build(name: str, **arguments: Any) -> "nn.Module":
    """Build an architecture by name: a plain ``nn.Module``, usable without the rest of didact.

    Args:
        name: A name of ``didact.CATALOG``.
        **arguments: Constructor arguments of the class; the others keep their defaults.

    Example:
        >>> model = didact.build("lenet5", num_classes=10)

    Raises:
        UsageError: An unknown name or argument.
    """
    entry, known = find(name), constructor_arguments(name)
    for argument in arguments:
        if argument not in known:
            raise UsageError(f"{name} has no argument {argument!r}; {suggest(argument, known)}")
    missing = [k for k, p in known.items() if p.default is p.empty and k not in arguments]
    if missing:
        raise UsageError(f"{name} needs {', '.join(missing)}: give a value, or train it on data that tells")
    return entry.resolve()(**{**entry.arguments, **arguments})


def constructor_arguments(name: str) -> dict[str, inspect.Parameter]:
    """The constructor arguments of an architecture, with types and the defaults they have under this name."""
    entry = find(name)
    parameters = dict(inspect.signature(entry.resolve()).parameters)
    for key, value in entry.arguments.items():
        parameters[key] = parameters[key].replace(default=value)
    return parameters
