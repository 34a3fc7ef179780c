"""Every architecture, in course order. The one list; nothing is registered by side effect.

No torch here: an entry names its class by import path, and ``build`` imports it on demand.
"""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from didact.entry import Entry, densenet, on_digits, resnet, vgg, vit
from didact.errors import UsageError, suggest

if TYPE_CHECKING:
    from torch import nn


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
        "vgg11": vgg(
            "nothing but 3x3 convolutions and poolings: the shallowest of the family",
            132_863_336,
            11,
            False,
            epochs=24,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg11-bn": vgg("VGG-11 with batch normalisation", 132_868_840, 11, True),
        "vgg13": vgg(
            "VGG with 13 layers", 133_047_848, 13, False, epochs=24, lr=0.001, excuses={"rate": UNNORMALISED}
        ),
        "vgg13-bn": vgg("VGG-13 with batch normalisation", 133_053_736, 13, True),
        "vgg16": vgg(
            "VGG with 16 layers, the one that everyone used",
            138_357_544,
            16,
            False,
            epochs=24,
            lr=0.001,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg16-bn": vgg(
            "VGG-16 with batch normalisation", 138_365_992, 16, True, lr=0.001, excuses={"rate": UNNORMALISED}
        ),
        "vgg19": vgg(
            "VGG with 19 layers, the deepest",
            143_667_240,
            19,
            False,
            epochs=40,
            lr=0.0005,
            batch_size=16,
            excuses={"rate": UNNORMALISED},
        ),
        "vgg19-bn": vgg(
            "VGG-19 with batch normalisation",
            143_678_248,
            19,
            True,
            epochs=40,
            lr=0.001,
            batch_size=32,
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
        "resnet18": resnet(
            "residual blocks, each of which learns what to add to its input",
            11_689_512,
            18,
            "sections X.4 and X.5",
        ),
        "resnet34": resnet("ResNet with 34 layers", 21_797_672, 34, "sections X.4 and X.5"),
        "resnet50": resnet(
            "ResNet with 50 layers, in blocks that narrow to a quarter of the maps",
            25_557_032,
            50,
            "sections X.4 and X.5",
        ),
        "resnet101": resnet("ResNet with 101 layers", 44_549_160, 101, "sections X.4 and X.5"),
        "resnet152": resnet(
            "ResNet with 152 layers, the winner of ImageNet 2015", 60_192_808, 152, "sections X.4 and X.5"
        ),
        "plain18": resnet(
            "the twin of ResNet-18 without shortcuts", 11_515_688, 18, "section X.5", plain=True
        ),
        "plain34": resnet(
            "the twin of ResNet-34 without shortcuts, which trains worse than the shallower one",
            21_623_848,
            34,
            "section X.5",
            plain=True,
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
        "densenet121": densenet(
            "every layer reads the maps of all layers before it", 7_978_856, 121, 32, epochs=8
        ),
        "densenet161": densenet("DenseNet with 161 layers, each of which adds 48 maps", 28_681_000, 161, 48),
        "densenet169": densenet("DenseNet with 169 layers", 14_149_480, 169, 32),
        "densenet201": densenet("DenseNet with 201 layers", 20_013_928, 201, 32),
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
        "vit-ti-16": vit("an image read as a sentence of patches of 16x16 pixels", 5_717_416, 16, 192, 12, 3),
        "vit-ti-32": vit("Vision Transformer, tiny, patches of 32x32 pixels", 6_131_560, 32, 192, 12, 3),
        "vit-s-16": vit("Vision Transformer, small, patches of 16x16 pixels", 22_050_664, 16, 384, 12, 6),
        "vit-s-32": vit("Vision Transformer, small, patches of 32x32 pixels", 22_878_952, 32, 384, 12, 6),
        "vit-b-16": vit("Vision Transformer, base, patches of 16x16 pixels", 86_567_656, 16, 768, 12, 12),
        "vit-b-32": vit("Vision Transformer, base, patches of 32x32 pixels", 88_224_232, 32, 768, 12, 12),
        "vit-l-16": vit("Vision Transformer, large, patches of 16x16 pixels", 304_326_632, 16, 1024, 24, 16),
        "vit-l-32": vit("Vision Transformer, large, patches of 32x32 pixels", 306_535_400, 32, 1024, 24, 16),
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
