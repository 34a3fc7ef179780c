"""Six small networks counted by didact and by the tools that people use, beside the count by hand.

    python benchmarks/counters.py                  the table, and benchmarks/results/counters.json
    python benchmarks/counters.py --tools FOLDER   tools that are already there (pip install --target FOLDER)

The tools are fetched with pip into a folder that is thrown away. Each network holds one thing: attention in
torch's own kernel, an LSTM, one layer used twice and one weight in two places, a convolution called as a
function, a transposed convolution in groups, and two branches that are multiplied as matrices. By hand: MACs,
one for each product that is added to a sum, and unique parameters. There are no biases, which some tools add.
torch is torch.utils.flop_counter, which gives two FLOPs for each MAC and is halved.
"""

import argparse
import contextlib
import io
import json
import logging
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact

TOOLS = ("torchinfo", "fvcore", "ptflops", "thop")
NEEDED = ("iopath", "yacs", "portalocker", "termcolor", "tabulate")  # what fvcore imports
RESULT = Path(__file__).parent / "results" / "counters.json"


# Networks


class Attention(nn.Module):
    """Queries, keys and values of one projection, and torch's own kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(1, 10, 3, 4, 8).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)


class Shared(nn.Module):
    """A look-up, one layer twice, and a last layer that has the weight of the look-up."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = (
            nn.Embedding(50, 16),
            nn.Linear(16, 16, bias=False),
            nn.Linear(16, 50, bias=False),
        )
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.mix(self.embed(x))))


class Functional(nn.Module):
    """A convolution without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=1)


class Branch(nn.Module):
    """Two ways that meet in a product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(self.left(x), self.right(x).transpose(1, 2))


class Last(nn.Module):
    """An LSTM of which the tools get the outputs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 32, bias=False, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


def networks() -> dict[str, tuple[nn.Module, Tensor, int]]:
    """Each network, what it takes, and its MACs by hand."""
    return {
        "attention": (Attention(), torch.randn(1, 10, 32), 10 * 32 * 96 + 2 * 4 * 10 * 10 * 8),
        "LSTM": (Last(), torch.randn(1, 10, 16), 10 * 4 * (16 * 32 + 32 * 32)),
        "shared weights": (Shared(), torch.zeros(1, 10, dtype=torch.int64), 10 * (2 * 16 * 16 + 16 * 50)),
        "functional convolution": (Functional(), torch.randn(1, 3, 8, 8), 8 * 64 * 27),
        "transposed, in groups": (
            nn.Sequential(nn.ConvTranspose2d(8, 12, 3, stride=2, groups=4, bias=False)),
            torch.randn(1, 8, 5, 5),
            8 * 25 * 3 * 9,
        ),
        "branches": (Branch(), torch.randn(1, 10, 16), 2 * 10 * 16 * 16 + 10 * 10 * 16),
    }


# Tools: each gives MACs and parameters


def by_didact(model: nn.Module, x: Tensor) -> tuple[float, int]:
    totals = didact.inspect(model, x).totals
    return totals.macs, totals.parameters


def by_torchinfo(model: nn.Module, x: Tensor) -> tuple[float, int]:
    import torchinfo  # type: ignore[import-not-found]

    found = torchinfo.summary(model, input_data=x, verbose=0)
    return found.total_mult_adds, found.total_params


def by_fvcore(model: nn.Module, x: Tensor) -> tuple[float, int]:
    from fvcore.nn import FlopCountAnalysis, parameter_count  # type: ignore[import-not-found]

    found = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return found.total(), parameter_count(model)[""]


def by_ptflops(model: nn.Module, x: Tensor) -> tuple[float, int]:
    from ptflops import get_model_complexity_info  # type: ignore[import-not-found]

    macs, parameters = get_model_complexity_info(
        model,
        tuple(x.shape[1:]),
        input_constructor=lambda _: {"input" if isinstance(model, nn.Sequential) else "x": x},
        as_strings=False,
        print_per_layer_stat=False,
        verbose=False,
    )
    return macs, parameters


def by_thop(model: nn.Module, x: Tensor) -> tuple[float, int]:
    from thop import profile  # type: ignore[import-not-found]

    macs, parameters = profile(model, (x,), verbose=False)
    return macs, int(parameters)


def by_torch(model: nn.Module, x: Tensor) -> tuple[float, int]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return counter.get_total_flops() / 2, 0


COUNTERS: Mapping[str, Callable[[nn.Module, Tensor], tuple[float, int]]] = {
    "didact": by_didact,
    "torchinfo": by_torchinfo,
    "fvcore": by_fvcore,
    "ptflops": by_ptflops,
    "thop": by_thop,
    "torch": by_torch,
}


def count(counter: Callable[[nn.Module, Tensor], tuple[float, int]], name: str) -> dict[str, Any]:
    """What a tool says of a network, or how it failed."""
    model, x, _ = networks()[name]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            macs, parameters = counter(model.eval(), x)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    return {"macs": int(macs), "parameters": parameters}


def measure() -> dict[str, Any]:
    """Every tool on every network."""
    rows = {}
    for name, (model, _, by_hand) in networks().items():
        exact = {"macs": by_hand, "parameters": sum(p.numel() for p in model.parameters())}
        rows[name] = {"by hand": exact} | {tool: count(counter, name) for tool, counter in COUNTERS.items()}
    return rows


@contextmanager
def installed(folder: Path | None) -> Iterator[Path]:
    """A folder with the tools in it."""
    with tempfile.TemporaryDirectory() as spare:
        place = folder or Path(spare)
        if folder is None:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
            subprocess.run([*command, *TOOLS, *NEEDED], check=True)
        sys.path.append(str(place))
        yield place


def versions(place: Path) -> dict[str, str]:
    found = {d.metadata["Name"]: d.version for d in distributions(path=[str(place)])}
    return {name: found[name] for name in TOOLS if name in found}


def cell(said: Mapping[str, Any], exact: Mapping[str, int]) -> str:
    """A number, bold where it is wrong."""
    if "failed" in said:
        return "fails"
    number = format(said["macs"], ",")
    return number if said["macs"] == exact["macs"] else f"**{number}**"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", type=Path, metavar="FOLDER", help="where the tools are installed")
    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    with installed(parser.parse_args().tools) as place:
        rows = measure()
        result = {
            "about": "MACs and parameters by each tool; torch is torch.utils.flop_counter, halved",
            "versions": {"torch": torch.__version__, "python": platform.python_version()} | versions(place),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "networks": rows,
        }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print("| network |", " | ".join(["by hand", *COUNTERS]), "|")
    print("| --- |", " | ".join(["---:"] * (1 + len(COUNTERS))), "|")
    for name, row in rows.items():
        exact = row["by hand"]
        print(f"| {name} | {exact['macs']:,} |", " | ".join(cell(row[t], exact) for t in COUNTERS), "|")


if __name__ == "__main__":
    main()
