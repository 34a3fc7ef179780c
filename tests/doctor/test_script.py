"""A script under observation: it computes the same, its models are found, its end is its own."""

import functools
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from didact.doctor.doctor import unwrapped
from didact.doctor.elsewhere import worth_watching
from didact.doctor.observation import Observation
from didact.doctor.script import run_script
from didact.errors import UsageError

START = """
import sys
import torch
from torch import nn
from torch.nn import functional as F
torch.manual_seed(0)
X = torch.randn(600, 6)
y = (X[:, 0] * X[:, 1] > 0).long() + (X[:, 2] > 0).long()
def net(): return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
def some(): return torch.randint(600, (32,))
"""
LOOP = """
for _ in range(60):
    i = some()
    loss = F.cross_entropy(model(X[i]), y[i])
    optimizer.zero_grad(); loss.backward(); optimizer.step()
"""
PLAIN = "model = net(); optimizer = torch.optim.Adam(model.parameters(), 1e-2)" + LOOP
SHAPES: Mapping[str, tuple[str, set[str]]] = {  # a script, and the names of the weights of its models
    "one model": (PLAIN, {"0.weight", "2.bias"}),
    "built first, trained after a dry run": (
        "model = net(); model(X[:2]); optimizer = torch.optim.Adam(model.parameters(), 1e-2)" + LOOP,
        {"0.weight", "2.bias"},
    ),
    "never called itself": (
        """
class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.spare = nn.Linear(6, 4), nn.Linear(4, 6), nn.Linear(2, 2)
model = Coder(); optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for _ in range(30):
    x = X[some()]
    loss = ((model.decoder(model.encoder(x)) - x) ** 2).mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
""",
        {"encoder.weight", "decoder.bias", "spare.weight"},
    ),
    "two that play": (
        """
class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 1)
    def forward(self, x):
        return self.net(x)
maker, judge = nn.Sequential(nn.Linear(2, 6)), Judge()
first = torch.optim.Adam(judge.parameters()); second = torch.optim.Adam(maker.parameters())
for _ in range(20):
    fake = maker(torch.randn(32, 2))
    loss = F.softplus(judge(fake.detach())).mean() + F.softplus(-judge(X[some()])).mean()
    first.zero_grad(); loss.backward(); first.step()
    loss = F.softplus(-judge(fake)).mean()
    second.zero_grad(); loss.backward(); second.step()
""",
        {"Sequential.0.weight", "Judge.net.bias"},
    ),
    "a teacher beside it": (
        "teacher = net(); model = nn.Sequential(nn.Linear(6, 3)); "
        "optimizer = torch.optim.SGD(model.parameters(), 0.1)"
        + LOOP.replace("i = some()", "i = some(); told = teacher(X[i]).detach()"),
        {"0.weight", "0.bias"},
    ),
    "a wrapper": (
        """
class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module
    def forward(self, *args):
        return self.module(*args)
model = Wrapper(net()); optimizer = torch.optim.Adam(model.parameters(), 1e-2)
"""
        + LOOP,
        {"0.weight", "2.bias"},
    ),
    "a closure": (
        """
model = net(); optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
def closure():
    optimizer.zero_grad(); loss = F.cross_entropy(model(X), y); loss.backward()
    return loss
for _ in range(30):
    optimizer.step(closure)
""",
        {"0.weight", "2.bias"},
    ),
    "half precision, accumulation, clipping, a schedule": (
        """
model = net(); optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
for _ in range(60):
    for _ in range(2):
        i = some()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(X[i]), y[i]) / 2
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer); nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer); scaler.update(); optimizer.zero_grad(); schedule.step()
""",
        {"0.weight", "2.bias"},
    ),
    "another optimizer than its model's": (
        "model = net(); optimizer = torch.optim.Adam(model.parameters(), 1e-2); model = net()" + LOOP,
        {"0.weight", "2.bias"},
    ),
}
COUNTS = {"never called itself": 6, "a teacher beside it": 2}  # of weights, where they are not four
END = "\nprint(hash(tuple(torch.cat([p.detach().flatten() for p in model.parameters()]).tolist())))\n"

Write = Callable[[str], Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a script that begins with data and a network."""

    def write_script(text: str) -> Path:
        path = tmp_path / "train.py"
        path.write_text(START + textwrap.dedent(text))
        return path

    return write_script


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Observation]:
    """The observations that were made."""
    made: list[Observation] = []
    enter = Observation.__enter__

    def remember(self: Observation) -> Observation:
        made.append(self)
        return enter(self)

    monkeypatch.setattr(Observation, "__enter__", remember)
    return made


# Models


@pytest.mark.parametrize("shape", SHAPES)
def test_models_are_found_and_no_error_is_made(write: Write, seen: list[Observation], shape: str):
    text, names = SHAPES[shape]
    report = run_script(write(text), quiet=True)
    chart = seen[0].doctor.chart
    assert report.exit_code == 0
    assert chart.errors == []
    assert report.steps == chart.step > 0
    found = {weight.name for weight in chart.weights}
    assert names <= found
    assert len(found) == len(chart.weights) == COUNTS.get(shape, 4)
    assert chart.probes or shape in ("two that play", "never called itself")
    assert any(look.gradient.size == len(chart.weights) for look in chart.looks)


SAME = ("one model", "a closure", "two that play", "half precision, accumulation, clipping, a schedule")


@pytest.mark.parametrize("shape", SAME)
def test_weights_and_output_are_the_same_to_the_bit(write: Write, capsys: Capture, shape: str):
    path = write(SHAPES[shape][0] + END.replace("model", "judge" if shape == "two that play" else "model"))
    alone: dict[str, object] = {"__name__": "__main__"}
    exec(compile(path.read_text(), path, "exec"), alone)
    expected = capsys.readouterr().out
    run_script(path, quiet=True)
    assert capsys.readouterr() == (expected, "")


def test_nothing_is_left_behind(write: Write):
    hooks, before = torch.nn.modules.module, (torch.optim.Optimizer.add_param_group, sys.argv, list(sys.path))
    run_script(write(PLAIN), ["--lr", "1"], quiet=True)
    assert not hooks._global_forward_pre_hooks
    assert before == (torch.optim.Optimizer.add_param_group, sys.argv, sys.path)
    assert sys.modules["__main__"].__dict__.get("X") is None


def test_hooks_on_all_modules_end_when_every_model_is_known(write: Write, capsys: Capture):
    count = "print(len(nn.modules.module._global_forward_pre_hooks))\n"
    run_script(write(count + PLAIN + count), quiet=True)
    assert capsys.readouterr().out.split() == ["1", "0"]


def test_each_training_has_a_chart_of_its_own(write: Write, seen: list[Observation]):
    text = "for fold in range(3):\n    model = net()\n    if fold == 1: model.append(nn.Softmax(-1))\n"
    text += "    optimizer = torch.optim.Adam(model.parameters(), 1e-2)" + LOOP.replace("\n", "\n    ")
    report = run_script(write(text), quiet=True)
    assert [each.steps for each in seen[0].reports] == [60, 60, 60]
    assert report.codes()[0] == "S02"
    assert report.note == "training 2 of 3, the worst"


def test_a_loader_that_is_one_batch_ahead_is_understood(write: Write, seen: list[Observation]):
    text = """
    from torch.utils.data import DataLoader, TensorDataset
    model = net(); optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    def ahead(loader):
        batches = iter(loader); batch = next(batches)
        for following in batches:
            yield batch
            batch = following
        yield batch
    for _ in range(3):
        for x, t in ahead(DataLoader(TensorDataset(X, y), 32, shuffle=True)):
            optimizer.zero_grad(); F.cross_entropy(model(x), t).backward(); optimizer.step()
    """
    run_script(write(text), quiet=True)
    rows = seen[0].doctor.chart.rows
    assert rows.again > 500
    assert rows.changed == 0
    kept = {tuple(x): int(t) for x, t in zip(rows.inputs.tolist(), rows.targets.tolist(), strict=True)}
    assert all(t == (x[0] * x[1] > 0) + (x[2] > 0) for x, t in kept.items())


def test_a_wrapper_is_not_its_model():
    inner = nn.Linear(2, 2)
    holder = nn.Module()
    holder.module = inner
    assert unwrapped(holder) is inner
    assert unwrapped(nn.Sequential(inner)) is not inner


# How it ends


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no data')", 1, "no data\n"),
        ("raise SystemExit(0)", 0, ""),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_exit_codes(write: Write, capsys: Capture, end: str, code: int, said: str):
    report = run_script(write(PLAIN + end), quiet=True)
    assert (report.exit_code, report.steps) == (code, 60)
    assert capsys.readouterr() == ("", said)


def test_a_traceback_is_the_one_of_python(write: Write, capsys: Capture):
    path = write(PLAIN + "F.cross_entropy(model(X), y[:3])")
    report = run_script(path, quiet=True)
    said = capsys.readouterr().err
    assert (report.exit_code, report.steps) == (1, 60)
    assert said.startswith(f'Traceback (most recent call last):\n  File "{path}", line ')
    assert said.endswith("ValueError: Expected input batch_size (600) to match target batch_size (3).\n")
    assert said.count("File") == 2  # the script and torch


def test_a_script_that_trains_nothing(write: Write):
    report = run_script(write("net()(X)"))
    assert report.unseen
    assert str(report) == "no training was seen: no optimizer of torch.optim made a step in this process"
    assert report.to_dict()["verdict"] == "unseen"


def test_a_script_that_never_steps(write: Write):
    report = run_script(write("model = net()\nF.cross_entropy(model(X), y).backward()"))
    assert "backward ran 1 times and no optimizer of torch.optim made a step" in str(report)


def test_fail_fast_ends_it_at_the_first_certain_fault(write: Write, capsys: Capture):
    text = PLAIN.replace("net();", "net().append(nn.Softmax(-1));")
    path = write("try:" + textwrap.indent("\n" + text, "  ") + "\nfinally: print('bye')")
    report = run_script(path, fail_fast=True, quiet=True)
    assert report.stopped
    assert report.steps < 60
    assert (report.verdict, report.codes()[0]) == ("faulty", "S02")
    assert capsys.readouterr().out == "bye\n"


def test_what_a_script_sees_of_itself(write: Write, tmp_path: Path, capsys: Capture):
    (tmp_path / "found_beside.py").write_text("here = 'beside'")
    text = """
    import pickle, found_beside
    class Own: pass
    print(__name__, sys.argv[1:], __file__, found_beside.here, type(pickle.loads(pickle.dumps(Own()))) is Own)
    """
    path = write(text)
    run_script(path, ["--lr", "1"])
    assert capsys.readouterr().out.strip() == f"__main__ ['--lr', '1'] {path} beside True"


def test_a_module(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    write(PLAIN + "print(__name__, sys.argv[1:])").rename(tmp_path / "of_mine.py")
    monkeypatch.chdir(tmp_path)
    assert run_script("of_mine", ["a"], module=True, quiet=True).steps == 60
    assert capsys.readouterr().out == "__main__ ['a']\n"
    with pytest.raises(UsageError, match="no such module"):
        run_script("of_nobody", module=True)
    with pytest.raises(UsageError, match=r"nowhere\.py: no such file"):
        run_script("nowhere.py")


# Other processes


def test_a_training_in_another_process_is_seen(write: Write):
    train = (
        "model = net().append(nn.Softmax(-1)); optimizer = torch.optim.Adam(model.parameters(), 1e-2)" + LOOP
    )
    start = "import torch.multiprocessing as mp\nif __name__ == '__main__':\n"
    start += "    mp.start_processes(train, nprocs=2, start_method='fork')"
    path = write("def train(rank):\n" + textwrap.indent(train, "    ") + start)
    report = run_script(path)
    assert (report.steps, report.note) == (60, "training 1 of 2, the worst")
    assert report.codes()[0] == "S02"


def test_workers_that_load_are_left_alone():
    from torch.utils.data._utils.worker import _worker_loop

    assert not worth_watching(_worker_loop)
    assert worth_watching(functools.partial(test_workers_that_load_are_left_alone))


BY_HAND = """
model = net()
for _ in range(600):
    i = some()
    F.cross_entropy(model(X[i]), y[i]).backward()
    for weight in model.parameters():
        weight.data -= 0.1 * weight.grad.data
        weight.grad.data.zero_()
"""


def test_updates_by_hand_are_watched_and_not_blamed(write: Write):
    report = run_script(write(BY_HAND), quiet=True)
    assert (report.unseen, report.codes()) == (False, [])
    built = "forgotten = torch.optim.SGD(net().parameters(), 0.1)\n"
    assert run_script(write(built + BY_HAND), quiet=True).codes() == ["O12"]
