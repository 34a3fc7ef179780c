"""The doctor at a loop: it names a cause, changes nothing, breaks nothing, and goes without a trace."""

import copy
import itertools
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.codes import FAMILIES, causes
from didact.doctor.doctor import Doctor, FaultFound, watch
from didact.doctor.finding import BROKEN, Finding, Report
from didact.doctor.verdict import BESIDE, PROOF, RULES, conclude

ROWS, CLASSES = 256, 4


def rows() -> tuple[Tensor, Tensor]:
    """Four blobs in eight dimensions."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (ROWS,), generator=generator)
    centres = 2 * torch.randn(CLASSES, 8, generator=generator)
    return centres[labels] + 0.5 * torch.randn(ROWS, 8, generator=generator), labels


class Net(nn.Module):
    def __init__(self, softmax: bool = False):
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(8, 16), nn.Dropout(0.1), nn.Linear(16, CLASSES)
        self.softmax = softmax

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.drop(F.relu(self.first(x))))
        return F.softmax(x, 1) if self.softmax else x


Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def train(
    model: nn.Module, doctor: Doctor | None = None, epochs: int = 8, step: Step = step, lr: float = 0.1
) -> Tensor:
    """A plain loop; returns all weights as one vector."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    x, y = rows()
    if doctor:
        doctor.on_start(model, optimizer)
    for _ in range(epochs):
        model.train()
        for at in torch.randperm(192).split(32):
            loss = step(model, optimizer, x[at], y[at])
            if doctor:
                doctor.on_step(loss, (x[at], y[at]))
        model.eval()
        with torch.no_grad():
            score = F.cross_entropy(model(x[192:]), y[192:])
        if doctor:
            doctor.on_epoch({}, {"loss": float(score)})
    if doctor:
        doctor.close()
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def fresh(softmax: bool = False) -> Net:
    torch.manual_seed(0)
    return Net(softmax)


def test_a_healthy_run_is_healthy():
    doctor = Doctor()
    train(fresh(), doctor)
    report = doctor.report()
    assert (report.verdict, report.codes(), doctor.chart.errors) == ("healthy", [], [])
    assert report.steps == 48
    assert report.epochs == 8


def test_a_fault_is_named_with_numbers_a_fix_and_the_notes():
    doctor = Doctor(quiet=True)
    train(fresh(softmax=True), doctor)
    report = doctor.report()
    assert (report.verdict, report.codes()) == ("faulty", ["S02"])
    finding = report.findings[0]
    assert finding.evidence["the loss cannot fall below"] == pytest.approx(np.log(np.e + 3) - 1)
    assert "logits" in finding.fix
    assert "004" in finding.notes
    assert finding.seen <= 20
    assert "S02  a softmax before a loss that applies it" in str(report)
    assert report.to_dict()["findings"][0]["code"] == "S02"


def test_a_loop_needs_no_calls():
    model = fresh(softmax=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = rows()
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(30):
            step(model, optimizer, x, y)
    assert doctor.report().codes()[0] == "S02"


@pytest.mark.parametrize("softmax", [False, True])
def test_a_watched_run_is_bit_identical(softmax: bool):
    torch.manual_seed(1)
    random.seed(1)
    plain = train(copy.deepcopy(fresh(softmax)))
    after = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002 - the generator that users share
    torch.manual_seed(1)
    random.seed(1)
    state = np.random.get_state()  # noqa: NPY002
    watched = train(fresh(softmax), Doctor(quiet=True))
    assert torch.equal(plain, watched)
    assert random.random() == after[1]
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))  # noqa: NPY002


def test_nothing_is_left_behind():
    before = F.cross_entropy, torch._C._nn.cross_entropy_loss, torch.autograd.backward
    model = fresh()
    train(model, Doctor())
    assert (F.cross_entropy, torch._C._nn.cross_entropy_loss, torch.autograd.backward) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_watched_model_can_be_copied_and_saved():
    model = fresh()
    doctor = Doctor()
    doctor.on_start(model)
    twin, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    twin(rows()[0])
    again(rows()[0])
    assert not doctor.chart.counts
    doctor.close()


def test_two_doctors_end_in_any_order():
    original = torch._C._nn.cross_entropy_loss
    first, second = Doctor(), Doctor()
    model = fresh()
    first.on_start(model)
    second.on_start(model)
    first.close()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        step(model, optimizer, *rows())
    second.close()
    assert (first.chart.step, second.chart.step) == (0, 3)
    x, y = rows()
    answer = model(x)
    assert F.cross_entropy(answer, y) == original(answer, y, None, 1, -100, 0.0)
    assert second.chart.step == 3


def test_an_error_of_its_own_is_a_finding_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch):
    def broken(*args: object) -> None:
        raise RuntimeError("a bug of ours")

    doctor = Doctor()
    monkeypatch.setattr(doctor.observer, "_look", broken)
    plain = train(fresh())
    torch.manual_seed(0)
    watched = train(fresh(), doctor)
    assert torch.equal(plain, watched)
    report = doctor.report()
    assert [finding.code for finding in report.findings if finding.code == BROKEN] == [BROKEN]
    assert report.verdict == "healthy"
    assert "a bug of ours" in str(report)


def test_what_watching_costs_is_counted_once(monkeypatch: pytest.MonkeyPatch):
    ticks = itertools.count()
    monkeypatch.setattr("didact.doctor.doctor.perf_counter", lambda: float(next(ticks)))
    doctor = Doctor()
    doctor._try(lambda: [doctor._try(lambda: None), doctor._try(lambda: None)])  # from 0 to 3
    assert doctor.observer.pace.spent == 3
    doctor._try(lambda: [][0])  # from 4 to 5
    assert doctor.observer.pace.spent == 4
    assert len(doctor.chart.errors) == 1


def test_where_reading_fails_the_rest_is_seen_all_the_same(monkeypatch: pytest.MonkeyPatch):
    def fails(*args: object) -> None:
        raise RuntimeError("these rows cannot be read")

    monkeypatch.setattr("didact.doctor.reader.Reader.read", fails)
    x, y = rows()
    model = fresh(softmax=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(30):
            step(model, optimizer, x[:32], y[:32])
    assert doctor.chart.step == 30
    assert len(doctor.chart.errors) == 5
    assert doctor.report().codes()[0] == "S02"


def test_a_broken_rule_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    doctor = Doctor()
    train(fresh(), doctor, epochs=2)
    monkeypatch.setattr("didact.doctor.verdict.RULES", {"S02": lambda case: 1 / 0})
    (finding,) = conclude(doctor.chart)
    assert finding.code == BROKEN
    assert "ZeroDivisionError in the rule of S02" in str(finding)


def test_fail_fast_stops_at_the_first_certain_fault():
    doctor = Doctor(fail_fast=True, quiet=True)
    with pytest.raises(FaultFound, match="S02 a softmax before a loss that applies it: drop the softmax"):
        train(fresh(softmax=True), doctor)
    assert doctor.chart.step <= 20


def test_a_chart_can_be_kept_and_judged_again():
    doctor = Doctor(quiet=True)
    train(fresh(softmax=True), doctor)
    chart = pickle.loads(pickle.dumps(doctor.chart))
    assert [f.code for f in conclude(chart)] == [f.code for f in conclude(doctor.chart)]


def test_losses_of_several_kinds_of_loop():
    """A number, a mapping, nothing: none of them is an error."""
    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = rows()
    with watch([model], (optimizer,)) as doctor:
        for told in (1.0, {"loss": torch.tensor(1.0)}, None, [0.5], torch.tensor(2.0)):
            step(model, optimizer, x, y)
            doctor.on_step(told, {"x": x, "labels": y})
        doctor.on_epoch()
    assert doctor.chart.errors == []
    assert doctor.chart.step == 5


def test_what_explains_others_comes_first_and_they_follow():
    def no_zeroing(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    doctor = Doctor(quiet=True)
    train(fresh(), doctor, step=no_zeroing, lr=1.0)
    report = doctor.report()
    assert report.codes()[0] == "O05"
    assert [finding.code for finding in report.findings if finding.severity != "hint"] == ["O05"]
    assert all(finding.because == "O05" for finding in report.findings[1:] if finding.severity != "hint")
    assert any(finding.because == "O05" for finding in report.findings)


def test_zeroing_between_backward_and_step_is_told():
    def too_late(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        return loss

    doctor = Doctor(quiet=True)
    train(fresh(), doctor, epochs=5, step=too_late)
    report = doctor.report()
    assert (report.verdict, report.codes()[0]) == ("faulty", "O12")
    assert "zero_grad() before loss.backward()" in report.findings[0].fix
    assert report.findings[0].evidence["updates whose gradients were put away before them"] >= 3


@pytest.mark.parametrize("last", [nn.ReLU(), nn.ReLU6(), nn.Threshold(0.0, 0.0), nn.Hardtanh()])
def test_a_gradient_that_ends_at_the_last_activation_was_not_put_away(last: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), last)
    nn.init.constant_(model[2].bias, 9.0 if isinstance(last, nn.Hardtanh) else -9.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, quiet=True) as doctor:
        for _ in range(40):
            optimizer.zero_grad()
            F.mse_loss(model(torch.randn(16, 4)), torch.randn(16, 1)).backward()
            optimizer.step()
    assert "O12" not in doctor.report().codes()


def in_halves(both: bool) -> Report:
    """Two optimizers, each with one layer; the second steps or not."""
    model, (x, y) = fresh(), rows()
    optimizers = [torch.optim.Adam(half.parameters(), lr=0.01) for half in (model.first, model.second)]
    with didact.watch(model, optimizers, quiet=True) as doctor:
        for _ in range(12):
            for at in torch.randperm(ROWS).split(32):
                model.zero_grad()
                F.cross_entropy(model(x[at]), y[at]).backward()
                for optimizer in optimizers[: 2 if both else 1]:
                    optimizer.step()
    assert doctor.chart.errors == []
    return doctor.report()


def test_an_optimizer_that_never_steps_is_told():
    report = in_halves(both=False)
    assert report.codes()[0] == "O12"
    assert report.findings[0].where == "optimizer 2 of 2"
    assert in_halves(both=True).verdict == "healthy"


def seen_twice(doctor: Doctor, right: bool = True) -> list[tuple[Tensor | None, Tensor]]:
    """Two micro-batches an update, each passed once as it is and once with noise; targets told by on_step.

    Returns:
        For each pass of the first update the targets that it was given, and its own.
    """
    model, (x, y) = fresh(), rows()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    found: list[tuple[Tensor | None, Tensor]] = []
    doctor.on_start(model, optimizer)
    for _ in range(16):
        mixed = torch.randperm(ROWS)
        for halves in mixed.split(64):
            optimizer.zero_grad()
            for at in halves.split(32):
                answer = model(x[at]) + model(x[at] + 0.05 * torch.randn_like(x[at]))
                loss = F.cross_entropy(answer / 2, y[at]) / 2
                loss.backward()
                doctor.on_step(loss, (x[at], y[at] if right else y[at.roll(1)]))
            if not found:
                own = [y[at] for at in halves.split(32) for _ in range(2)]
                given = [one.targets for one in doctor.observer.update.passes]
                found = list(zip(given, own, strict=True))
            optimizer.step()
    doctor.close()
    return found


def test_a_batch_that_is_passed_twice_has_its_targets_both_times():
    doctor = Doctor()
    found = seen_twice(doctor)
    assert len(found) == 4
    assert all(given is not None and torch.equal(given, own) for given, own in found)
    report = doctor.report()
    assert (report.verdict, report.codes(), doctor.chart.errors) == ("healthy", [], [])
    assert doctor.chart.rows.again > 50
    assert doctor.chart.rows.changed == 0


def test_targets_of_other_rows_told_with_a_batch_are_out_of_step():
    doctor = Doctor(quiet=True)
    seen_twice(doctor, right=False)
    assert "L01" in doctor.report().codes()


def test_a_report_is_written_as_json(tmp_path: Path):
    doctor = Doctor(quiet=True)
    train(fresh(softmax=True), doctor)
    report = doctor.report()
    report.to_json(tmp_path / "report.json")

    def refuse(name: str) -> None:
        raise ValueError(name)

    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    written = json.loads(text, parse_constant=refuse)
    assert (written["verdict"], written["steps"], written["epochs"]) == ("faulty", report.steps, 8)
    assert [finding["code"] for finding in written["findings"]] == [f.code for f in report.findings]
    assert written["findings"][0]["evidence"] == dict(report.findings[0].evidence)
    assert written["findings"][0]["fix"] == report.findings[0].fix
    Report(()).to_json(tmp_path / "empty.json")
    assert json.loads((tmp_path / "empty.json").read_text(encoding="utf-8"))["findings"] == []


def test_every_code_has_one_rule_and_all_that_is_printed():
    assert len(causes()) == 60
    assert set(RULES) == set(causes())
    assert set(causes()) >= BESIDE | PROOF
    for code, cause in causes().items():
        assert code[0] in FAMILIES
        assert cause.fix
        assert cause.notes
        assert cause.name[0].islower() or cause.name.startswith("NaN")


def test_verdicts():
    hint, warning, critical = (Finding("O03", severity, {}) for severity in ("hint", "warning", "critical"))
    assert Report((hint,)).verdict == "healthy"
    assert Report((hint,)).codes() == []
    assert Report((warning, hint)).verdict == "suspect"
    assert Report((critical, hint)).verdict == "faulty"
