"""``didact inspect``: networks of the catalogue, of files and of runs; every form; errors of one line."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Call, Child, refused

from didact.catalog import CATALOG

NET = """
from torch import nn
from beside import SIDE

def small(maps: int = 4, bias=True):
    return nn.Sequential(nn.Conv2d(3, maps, SIDE, bias=bias), nn.ReLU())

class Words(nn.Embedding):
    def __init__(self, words: int = 10):
        super().__init__(words, 4)

made = nn.Linear(5, 2)

def number():
    return 3

def broken():
    return nn.Linear(oops, 2)
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("SIDE = 3\n")
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def table(call: Call, *words: object) -> dict:
    said = call("inspect", *words, "--json")
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


# Networks


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("lenet5", [1, 1, 32, 32]),
        ("mnist-cnn", [1, 1, 28, 28]),
        ("wrn28-10", [1, 3, 32, 32]),
        ("mobilenet-v2", [1, 3, 224, 224]),
        ("mlp", [1, 64]),
        ("softmax-regression", [1, 4]),
        ("gan", [1, 1]),
        ("lstm", [1, 35]),
    ],
)
def test_the_catalogue_knows_what_its_networks_take(call: Call, name: str, inputs: list[int]):
    found = table(call, name)
    assert found["inputs"] == [inputs]
    expected = {"lstm": None}.get(name, CATALOG[name].parameters)
    assert expected in (None, found["totals"]["parameters"])


def test_arguments_input_and_batch(call: Call):
    found = table(call, "ResNet_18", "--set", "num_classes=7", "--input", "3x64x64", "--batch", "2")
    assert found["inputs"] == [[2, 3, 64, 64]]
    assert found["layers"][-1]["output"] == [2, 7]
    wide = table(call, "mlp", "--set", "widths=8,4", "--input", "20")
    assert [row["parameters"] for row in wide["layers"] if row["parameters"]] == [168, 36, 50]


def test_a_network_of_a_file(call: Call, net: Path):
    found = table(call, f"{net}:small", "--input", "3x9x9", "--set", "maps=8", "--set", "bias=False")
    assert found["totals"]["parameters"] == 8 * 27
    assert table(call, f"{net}:Words", "--input", "6:int64")["layers"][0]["output"] == [1, 6, 4]
    assert table(call, f"{net}:made", "--input", "5")["totals"]["macs"] == 10
    assert str(net.parent) not in sys.path


def test_a_run_knows_its_input(call: Call, image_run: Path, text_run: Path, gan_run: Path):
    assert table(call, image_run)["inputs"] == [[1, 1, 8, 8]]
    assert table(call, text_run)["layers"][0]["kind"] == "Embedding"
    assert table(call, gan_run)["totals"]["parameters"] == 187
    refused(call("inspect", image_run, "--set", "widths=3"), 2, "is built already")


# Forms


def test_the_table_in_a_pipe_is_whole(call: Call):
    said = call("inspect", "lenet5", "--optimizer", "sgd")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert re.split(r" {2,}", lines[1].strip()) == [
        *("conv1", "1x6x28x28", "156", "117,600", "235,200", "18.4 KiB", "5", "1", "2", "Conv2d 1->6, 5x5")
    ]
    assert "61,706 parameters" in lines
    assert "416,520 MACs, 833,040 FLOPs (1 MAC = 2 FLOPs, the bias inside)" in lines
    assert "\033" not in said.out
    assert "no MACs, so not counted: tanh x4 (6,508 numbers), avg_pool2d x2 (1,576 numbers)" in lines


def test_csv_and_markdown(call: Call):
    read = list(csv.DictReader(io.StringIO(call("inspect", "lenet5", "--csv").out)))
    assert [row["macs"] for row in read if row["kind"] == "Conv2d"] == ["117600", "240000", "48000"]
    page = call("inspect", "lenet5", "--markdown").out
    assert page.startswith("| layer | output | parameters |")
    assert "\n- 61,706 parameters\n" in page


def test_a_fold(call: Call):
    rows = table(call, "resnet18", "--depth", "1")["layers"]
    names = [row["name"] for row in rows]
    assert names == ["conv1", "bn1", "relu", "maxpool", *(f"layer{k}" for k in (1, 2, 3, 4)), "avgpool", "fc"]
    assert sum(row["parameters"] for row in rows) == 11_689_512


def test_a_plot(call: Call, tmp_path: Path):
    assert call("inspect", "lenet5", "--plot", tmp_path / "costs.svg").code == 0
    assert (tmp_path / "costs.svg").read_bytes().startswith(b"<?xml")


VIEWS = [
    (("lenet5", "--explain", "conv1"), "(5*5*1 + 1)*6 = 156"),
    (("lenet5", "--field", "pool2"), "16x16"),
    (("lenet5", "--tree"), "conv 5x5"),
    (("lenet5", "--against", "mnist-cnn"), "mnist-cnn"),
    (("mlp", "--sweep", "widths=8,16"), "widths"),
    (("lenet5", "--time"), "GFLOP/s"),
]


@pytest.mark.parametrize(("words", "part"), VIEWS, ids=[" ".join(words) for words, _ in VIEWS])
def test_the_other_views(call: Call, words: tuple[str, ...], part: str):
    said = call("inspect", *words)
    assert (said.code, said.err) == (0, "")
    assert part in said.out
    assert isinstance(json.loads(call("inspect", *words, "--json").out), dict)


def test_a_diagram_is_written(call: Call, tmp_path: Path):
    said = call("inspect", "lenet5", "--diagram", tmp_path / "lenet.svg")
    assert (said.code, said.out) == (0, f"{tmp_path / 'lenet.svg'}\n")
    assert "<svg" in (tmp_path / "lenet.svg").read_text()


@pytest.mark.usefixtures("iris_run")  # what is imported is loaded once, before the fork
def test_a_terminal_of_a_hundred_columns(tmp_path: Path, call: Call):
    call("inspect", "lenet5")
    child = Child("inspect", "resnet18", cwd=tmp_path, columns=100)
    assert child.end() == 0
    assert child.seen.startswith("\033[1mlayer ")
    plain = re.sub(r"\033\[[\d;]*m", "", child.seen)
    assert max(map(len, plain.splitlines())) <= 100
    assert re.search(r"^layer2\.0\.downsample\.0 +1x128x28x28 +8,192 +6,422,528 ", plain, re.M)


def test_help_and_errors_need_no_torch():
    code = (
        "import sys; from didact.cli.main import main; main(['inspect', '--help']); "
        "main(['inspect', 'lenet5', '--batch', '0']); raise SystemExit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("didact inspect vgg16 --input 3x224x224\n")


# Errors


WRONG = [
    (("lenet6",), 2, ("unknown model 'lenet6'", "did you mean 'lenet5'")),
    (("lenet5", "--input", "3xa"), 2, ("--input 3xa", "such as 3x224x224")),
    (("lenet5", "--input", "1x0x32"), 2, ("every size is at least 1",)),
    (("lenet5", "--input", "32:int46"), 2, ("int46 is no type of torch",)),
    (("lenet5", "--batch", "0"), 2, ("--batch 0",)),
    (("lenet5", "--depth", "0"), 2, ("--depth 0",)),
    (("lenet5", "--set", "classes=3"), 2, ("unknown argument 'classes'",)),
    (("lenet5", "--set", "num_classes"), 2, ("--set num_classes", "KEY=VALUE")),
    (("lenet5", "--optimizer", "adan"), 2, ("unknown optimizer 'adan'; did you mean 'adam'",)),
    (("lenet5", "--plot", "a.gif"), 2, (".svg or .png",)),
    (("lenet5", "--diagram", "a.png"), 2, ("ends in .svg",)),
    (("lenet5", "--explain", "conv1", "--csv"), 2, ("--csv is for the table",)),
    (("lenet5", "--tree", "--time"), 2, ("not allowed with",)),
    (("lenet5", "--sweep", "width"), 2, ("KEY=A,B,C",)),
    (("resnet18", "--sweep", "widht=1,2"), 2, ("unknown argument 'widht'; did you mean 'width'",)),
    (("runs/nothing",), 1, ("runs/nothing", "no such directory")),
    (("net.py",), 2, ("net.py:FUNCTION",)),
    (("nowhere.py:net", "--input", "3"), 2, ("nowhere.py: no such file",)),
]


@pytest.mark.parametrize(("words", "code", "parts"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_mistake_gets_one_line(call: Call, words: tuple[str, ...], code: int, parts: tuple[str, ...]):
    refused(call("inspect", *words), code, *parts)


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        ("smal --input 3x9x9", 2, ("has no 'smal'; did you mean 'small'",)),
        ("small", 2, ("--input 3x224x224",)),
        ("number --input 3", 2, ("gives a int; it must give an nn.Module",)),
        ("broken --input 3", 1, ("NameError: name 'oops' is not defined",)),
        ("made --input 5 --set a=1", 2, ("needs a function or a class",)),
        ("small --input 3x9x9 --set maps=many", 2, ("maps='many' is not a whole number",)),
        (
            "small --input 1x9x9",
            2,
            ("0 (Conv2d) refused its input: it got (1, 1, 9, 9); it wants (B, 3, H, W)",),
        ),
    ],
)
def test_a_mistake_with_a_file_gets_one_line(
    call: Call, net: Path, words: str, code: int, parts: tuple[str, ...]
):
    factory, *rest = words.split()
    refused(call("inspect", f"{net}:{factory}", *rest), code, *parts)


def test_a_file_that_does_not_run(call: Call, tmp_path: Path):
    (tmp_path / "bad.py").write_text("def f(:\n")
    refused(call("inspect", f"{tmp_path / 'bad.py'}:f", "--input", "3"), 1, "bad.py: SyntaxError")
