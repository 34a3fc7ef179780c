"""The image classifiers beside torchvision's, and what makes one answer faster.

    python benchmarks/networks.py                   the first network of each family, forward and backward
    python benchmarks/networks.py --all             every network
    python benchmarks/networks.py --only resnet18   one, or several
    python benchmarks/networks.py --compiled        torch.compile too, minutes for each network
    python benchmarks/networks.py --inference       ResNet-18 on one image, in the ways to make it faster

Each piece is written into benchmarks/results/networks.json when it is done, and leaves the others there. The
contenders have the same weights, which a check of their outputs proves, and take turns in one process, so
that a change of the machine's speed meets all of them. CPU time, one thread. Forward is measured at rest
without gradients, forward and backward in training; auxiliary heads are left out.

torchvision is fetched with pip into a folder that is thrown away, unless --torchvision names one: its models
are plain Python and run beside a torch that its operators were not built for.
"""

import argparse
import copy
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor, nn

import didact
from didact.nn.fuse import fuse

ROUNDS, TURN = 9, 0.2  # turns of each contender, and CPU seconds that one lasts at least
RESULT = Path(__file__).parent / "results" / "networks.json"
FAMILIES = (
    *("lenet5", "alexnet", "vgg11", "googlenet", "resnet18", "wrn28-10", "wide-resnet50-2"),
    *("resnext50-32x4d", "densenet121", "inception-v3", "xception", "mobilenet-v1", "mobilenet-v2"),
    "vit-b-16",
)
BATCHES = {"lenet5": (4, 32), "mnist-cnn": (4, 28), "wrn28-10": (4, 32), "inception-v3": (4, 107)}
TOLERANCE = 1e-3  # of the largest output

Run = Callable[[], object]
Rows = dict[str, dict[str, float]]


# Time


def seconds(run: Run, times: int) -> float:
    """CPU time of one call."""
    started = time.process_time()
    for _ in range(times):
        run()
    return (time.process_time() - started) / times


def measure(runs: Mapping[str, Run]) -> Rows:
    """Let the contenders take turns, every other time in reverse; ratios to the first, within a turn."""
    for run in runs.values():
        run()  # compiles, fills caches
    times = {name: max(1, round(TURN / max(seconds(run, 1), 1e-6))) for name, run in runs.items()}
    turns: list[dict[str, float]] = []
    for k in range(ROUNDS):
        order = list(runs)[:: 1 if k % 2 else -1]
        turns.append({name: seconds(runs[name], times[name]) for name in order})
    first = next(iter(runs))
    return {name: row([turn[name] for turn in turns], [turn[first] for turn in turns]) for name in runs}


def row(mine: list[float], firsts: list[float]) -> dict[str, float]:
    ratios = [a / b for a, b in zip(mine, firsts, strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 4),
        "lowest": round(min(ratios), 4),
        "highest": round(max(ratios), 4),
        "milliseconds": round(1000 * statistics.median(mine), 3),
    }


def distance(out: Tensor, usual: Tensor) -> float:
    """The largest difference, as a share of the largest output."""
    return ((out - usual).abs().max() / usual.abs().max()).item()


def check(name: str, out: Tensor, usual: Tensor) -> None:
    far = distance(out, usual)
    if not far < TOLERANCE:
        raise SystemExit(f"{name}: its outputs differ by {far:.1e} of the largest, which is no fair race")


# Networks


def ours(name: str) -> nn.Module:
    more = {"auxiliary": False} if name in ("googlenet", "inception-v3") else {}
    return didact.build(name, **more)


def theirs(name: str, torchvision: ModuleType | None) -> nn.Module | None:
    """The network of that name in torchvision, with new weights, or None where it has none."""
    build = getattr(torchvision.models, name.replace("-", "_"), None) if torchvision else None
    more = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception-v3") else {}
    return build(**more) if build else None


def contenders(name: str, torchvision: ModuleType | None, compiled: bool) -> dict[str, nn.Module]:
    """The one to compare with first; all with the same weights."""
    own, other = ours(name), theirs(name, torchvision)
    models = {"didact": own}
    if other is not None:
        other.load_state_dict(own.state_dict(), strict=True)
        models = {"torchvision": other, "didact": own}
    if compiled:
        models |= {f"{key}, compiled": torch.compile(copy.deepcopy(model)) for key, model in models.items()}
    return models


def network(name: str, torchvision: ModuleType | None, compiled: bool) -> dict[str, Any]:
    """One network forward, then forward and backward."""
    torch.manual_seed(0)
    models = contenders(name, torchvision, compiled)
    batch, side = BATCHES.get(name, (1, 224) if name.startswith("vit") else (4, 64))
    x = torch.randn(batch, models["didact"].in_channels, side, side)
    with torch.no_grad():
        usual = models["didact"].eval()(x)
        for key, model in models.items():
            check(f"{name}, {key}", model.eval()(x), usual)
        forward = measure({key: lambda model=model: model(x) for key, model in models.items()})
    both = measure({key: lambda model=model: learn(model.train(), x) for key, model in models.items()})
    return {"batch_size": batch, "side": side, "forward": forward, "forward and backward": both}


def learn(model: nn.Module, x: Tensor) -> None:
    """Forward and backward, without the step."""
    model.zero_grad()
    model(x).square().mean().backward()


def import_torchvision(folder: Path | None) -> ModuleType | None:
    """Import it without its operators; None where it cannot be had."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            sys.path.insert(0, str(folder or fetch(Path(scratch))))
            _declare_operators()
            import torchvision

            return torchvision
        except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
            print(f"torchvision not importable: {str(error).splitlines()[0]}", file=sys.stderr)
            return None


def fetch(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", str(folder), "torchvision"], check=True, capture_output=True)
    return folder


LIBRARIES: list[torch.library.Library] = []  # a library that is forgotten takes its operators along


def _declare_operators() -> None:
    """What the import of torchvision asks of its compiled part, by name alone."""
    LIBRARIES.append(torch.library.Library("torchvision", "FRAGMENT"))
    for name in ("nms", "qnms"):
        LIBRARIES[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


# One image


def inference() -> dict[str, Any]:
    """ResNet-18 on one image of 224: as it comes, then in each way to make it faster."""
    torch.manual_seed(0)
    model, x = didact.build("resnet18"), torch.randn(1, 3, 224, 224)
    for _ in range(3):  # statistics other than 0 and 1
        model(torch.randn(8, 3, 64, 64))
    with torch.no_grad():
        runs = dict(ways(model.eval(), x))
        usual = runs["eager"]()
        far = {name: distance(torch.as_tensor(run()), usual) for name, run in runs.items()}
        for name, run in runs.items():
            check(name, torch.as_tensor(run()), usual)
        rows = measure(runs)
    for name in rows:
        rows[name]["furthest_output"] = far[name]
    return {"network": "resnet18", "batch_size": 1, "side": 224, "forward": rows}


def ways(model: nn.Module, x: Tensor) -> Iterator[tuple[str, Run]]:
    """Each a call that gives the logits of the same image."""
    last, fused = x.to(memory_format=torch.channels_last), fuse(model, x)
    lasting = copy.deepcopy(model).to(memory_format=torch.channels_last)
    fused_lasting = copy.deepcopy(fused).to(memory_format=torch.channels_last)
    yield "eager", lambda: model(x)
    yield "channels_last", lambda: lasting(last)
    yield "fused", lambda: fused(x)
    yield "fused, channels_last", lambda: fused_lasting(last)
    yield "compiled", compiled_run(copy.deepcopy(model), x, freezing=False)
    yield "compiled, frozen", compiled_run(copy.deepcopy(model), x, freezing=True)
    yield "fused, compiled, frozen", compiled_run(copy.deepcopy(fused), x, freezing=True)
    if run := onnx_run(model, x):
        yield "ONNX Runtime", run


def compiled_run(model: nn.Module, x: Tensor, freezing: bool) -> Run:
    """Compiled at once, for the setting counts that stands at the first call.

    It is an option too: without one of its own, torch takes the code that it made for the same class before.
    """
    run = torch.compile(model, options={"freezing": freezing})
    with torch._inductor.config.patch(freezing=freezing):
        run(x)
    return lambda: run(x)


def onnx_run(model: nn.Module, x: Tensor) -> Run | None:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError:
        print("ONNX Runtime not importable", file=sys.stderr)
        return None
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    whole = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, feed)[0]


# The file


def save(**pieces: Any) -> None:
    """Put a piece beside those that are there."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {"networks": {}, "inference": {}}
    header = {
        "what": "CPU time as a ratio to the first contender in the same turn; lower is faster",
        "rounds": ROUNDS,
        "threads": 1,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        },
    }
    networks = result["networks"] | pieces.get("networks", {})
    known = [name for name in didact.CATALOG if name in networks]
    result = header | {
        "networks": {name: networks[name] for name in known},
        "inference": pieces.get("inference", result["inference"]),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def stamped(piece: dict[str, Any], **versions: str) -> dict[str, Any]:
    """With the day and the versions of what was measured."""
    said = {name: version(name) for name in ("didact", "torch")} | versions
    return {"date": datetime.now(UTC).date().isoformat(), "versions": said, **piece}


def show(title: str, rows: Rows) -> None:
    print(f"\n{title:<36} ratio   (lowest-highest)  milliseconds")
    for name, each in rows.items():
        spread = f"({each['lowest']:.2f}-{each['highest']:.2f})"
        print(f"{name:<36} {each['ratio']:5.2f}   {spread:<16}{each['milliseconds']:14.2f}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every image classifier")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these networks")
    parser.add_argument("--compiled", action="store_true", help="torch.compile beside eager")
    parser.add_argument("--inference", action="store_true", help="ResNet-18 on one image, nothing else")
    parser.add_argument("--torchvision", type=Path, metavar="FOLDER", help="where torchvision is unpacked")
    return parser.parse_args()


def chosen(given: argparse.Namespace) -> list[str]:
    """The networks to measure, by the catalogue's names."""
    images = [n for n, e in didact.CATALOG.items() if e.tasks == ("classify",) and e.inputs == ("image",)]
    names = given.only or (images if given.all else FAMILIES)
    plain = {name.replace("-", ""): name for name in images}
    keys = [name.lower().replace("_", "").replace("-", "") for name in names]
    unknown = [name for name, key in zip(names, keys, strict=True) if key not in plain]
    if unknown:
        raise SystemExit(f"{unknown[0]}: no image classifier of the catalogue, see didact models")
    return [plain[key] for key in keys]


def main() -> None:
    """Measure what was asked for; each piece is saved when it is done."""
    given = arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # torch.onnx logs what it finds missing
    if given.inference:
        piece = inference()
        show("ResNet-18, one image of 224", piece["forward"])
        runtime = {"onnxruntime": version("onnxruntime")} if "ONNX Runtime" in piece["forward"] else {}
        save(inference=stamped(piece, **runtime))
        return
    torchvision = import_torchvision(given.torchvision)
    versions = {"torchvision": torchvision.__version__} if torchvision else {}
    for name in chosen(given):
        piece = network(name, torchvision, given.compiled)
        for part in ("forward", "forward and backward"):
            show(f"{name}, {part}", piece[part])
        save(networks={name: stamped(piece, **versions)})


if __name__ == "__main__":
    main()
