"""Other tools on the same runs: what they flag, what they name, and what they flag in healthy runs.

    pip install --no-deps --target /tmp/others torchmortem plotly torch-audit torchtest2
    python benchmarks/doctor/others.py --packages /tmp/others [--only umlaut] [--every 4]

    torchmortem    hooks and detectors; findings of WARNING and above
    torch-audit    patched forward and step, every tenth update; WARN and above, hints on hardware left out
    torchtest2     its checks on the first batch; WARN and FAIL
    umlaut         the published rules of UMLAUT (CHI 2021), ported
    autotrainer    the published thresholds of AUTOTRAINER (ICSE 2021), ported

None of them speaks our codes, so each of their findings stands for all codes that it could be read as: a
generous mapping. Runs in the styles that make calls (classic, split) and with one network; the gate and the
healthy set are run.py's, whose ledger of unwatched runs is used. Writes its table under "others" in
results/doctor.json.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

os.environ["OMP_NUM_THREADS"] = "1"

import run as examination
import torch
import totals
from clinic import Clinic, Nobody
from faults import find_fault
from jobs import Job, Ledger, prepare, weights_hash
from styles import train
from torch import nn

from tasks import Task

Named = list[frozenset[str]]  # a finding each: the codes that it may be read as
WEIGHTED = (nn.Linear, nn.Conv2d)


def codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Tool(Nobody):
    """A contender behind the doctor's calls; `findings` is asked at the end."""

    def __init__(self, task: Task):
        self.task, self.model, self.step = task, None, 0

    def findings(self) -> Named:
        raise NotImplementedError

    def on_start(self, model: Any, optimizer: Any, loss_fn: Any, loader: Any) -> None:
        self.model = model
        self.optimizers = optimizer if isinstance(optimizer, tuple) else (optimizer,)
        self.begin()

    def begin(self) -> None: ...

    def objective(self, out: Any, y: Any) -> Any:
        """The loss as the loop computes it from what the network returns."""
        return self.task.loss(0)(self.task.predict(lambda _: out, None), y)


class Torchmortem(Tool):
    MAP: ClassVar = {
        "gradient_flow": codes("O07 O08 O09 I02 I03"),
        "dead_units": codes("A02 I01"),
        "saturation": codes("A01 I03"),
        "update_ratio": codes("O01 O02 O11 I02"),
        "loss_dynamics": codes("O01 O02 O08 S07"),
        "weight_norm": codes("O01 O08 O12 R02"),
        "rank_collapse": codes("A07 G01 I01"),
        "gradient_noise": codes("L04 R04 D03"),
    }

    def begin(self) -> None:
        from torchmortem import Autopsy

        self.autopsy = Autopsy(self.model, optimizer=self.optimizers[0])
        self.autopsy._atexit_registered = True  # no crash report in this folder
        self.autopsy.attach()

    def on_step(self, loss: Any, batch: Any) -> None:
        self.autopsy.step(loss=number(loss))

    def close(self) -> None:
        self.autopsy.detach()

    def findings(self) -> Named:
        found = self.autopsy.get_report().findings
        grave = sorted((f for f in found if f.severity >= 1), key=lambda f: -f.severity)
        return [self.MAP.get(f.category, frozenset()) for f in grave]


class TorchAudit(Tool):
    MAP: ClassVar = {
        "TA100": codes("D01 O08 O01"),
        "TA102": codes("O08 O01 I03"),
        "TA103": codes("A02 I01 O07 O10"),
        "TA104": codes("O10 O12"),
        "TA105": codes("A02"),
        "TA301": codes("P01 D01"),
        "TA302": codes("D01 I01"),
        "TA304": codes("R04"),
        "TA405": codes("I01"),
        "TA500": codes("A08"),
        "TA501": codes("E05"),
    }

    def begin(self) -> None:
        from torch_audit import autopatch

        self.auditor = autopatch(self.model, optimizer=self.optimizers[0], every_n_steps=10)

    def close(self) -> None:
        self.result = self.auditor.finish()
        self.auditor.unpatch()

    def findings(self) -> Named:
        grave = [f for f in self.result.findings if f.severity.value != "INFO" and f.rule_id[:3] != "TA2"]
        order = ("FATAL", "ERROR", "WARN")
        grave.sort(key=lambda finding: order.index(finding.severity.value))
        return [self.MAP.get(f.rule_id, frozenset()) for f in grave]


class Torchtest2(Tool):
    MAP: ClassVar = {
        "output_finite": codes("O08 D01 I03"),
        "output_varies": codes("A02 I01 I02"),
        "loss": codes("S03 S06 S07 O10"),
        "initial_loss": codes("I04 I03 S02 S03"),
        "optimizer_coverage": codes("O06"),
        "gradient_flow": codes("A08 O10 A02 I01"),
        "gradient_magnitude": codes("O08 I03"),
        "params_change": codes("O12 O06 O10 A08"),
        "input_dependency": codes("A02 A05 D07"),
        "batch_independence": codes("A04 S03 E01"),
        "overfit_batch": codes("O01 O02 A07 S02 S04 S06 L02"),
    }

    def begin(self) -> None:
        from torchtest2 import check_model

        x, y = (part[: self.task.batch] for part in self.task.train)
        alone = self.optimizers[0] if len(self.optimizers) == 1 else None  # it takes one
        self.said = check_model(self.model, x, y, loss_fn=self.objective, optimizer=alone, overfit_steps=60)

    def findings(self) -> Named:
        grave = [*self.said.failures, *self.said.warnings]
        return [self.MAP.get(result.name, frozenset()) for result in grave]


class Watching(Tool):
    """What the two ports have in common: metrics of epochs, activations by hooks."""

    def begin(self) -> None:
        self.epochs: list[tuple[dict[str, float], dict[str, float]]] = []
        self.losses: list[float] = []
        self.found: dict[str, frozenset[str]] = {}

    def on_step(self, loss: Any, batch: Any) -> None:
        self.step += 1
        self.losses.append(number(loss))
        if self.step == 1:
            self.first_batch(batch[0])

    def first_batch(self, x: Any) -> None: ...

    def on_epoch(self, train_metrics: dict[str, float], val_metrics: dict[str, float]) -> None:
        self.epochs.append((train_metrics, val_metrics))

    def findings(self) -> Named:
        self.conclude()
        return list(self.found.values())

    def conclude(self) -> None: ...

    def series(self, name: str, which: int) -> list[float]:
        return [pair[which][name] for pair in self.epochs if name in pair[which]]


class Umlaut(Watching):
    """UMLAUT's heuristics (CHI 2021), with its published numbers."""

    def first_batch(self, x: torch.Tensor) -> None:
        if x.is_floating_point() and (x.min() < -1 or x.max() > 1):
            self.found["input range"] = codes("P01")
        rate = self.optimizers[0].param_groups[0]["lr"]
        if rate > 1e-2:
            self.found["lr high"] = codes("O01")
        if rate < 1e-7:
            self.found["lr low"] = codes("O02")
        kinds = [type(m) for m in self.model.modules() if not list(m.children())]
        if any(self.bare(part) for part in self.model.modules() if isinstance(part, nn.Sequential)):
            self.found["linear on linear"] = codes("A03")
        if kinds and kinds[-1] in (nn.Softmax, nn.Sigmoid, nn.LogSoftmax):
            self.found["activation before loss"] = codes("S01 S02 S03 S04")
        if any(isinstance(m, nn.Dropout) and m.p > 0.5 for m in self.model.modules()):
            self.found["dropout"] = codes("R02")

    @staticmethod
    def bare(layers: nn.Sequential) -> bool:
        """A layer with weights follows another at once."""
        return any(isinstance(a, WEIGHTED) and isinstance(b, WEIGHTED) for a, b in pairwise(layers))

    def conclude(self) -> None:
        if any(loss != loss for loss in self.losses):
            self.found["loss is NaN"] = codes("O08 O01 D01")
        train, val = self.series("acc", 0), self.series("acc", 1)
        for mine, theirs in zip(train, val, strict=False):
            if self.task.kind == "classes" and (theirs > 0.95 or theirs > mine + 0.05):
                self.found["accuracy too good"] = codes("D05 D06 D07 L03")
        mine, theirs = self.series("loss", 0), self.series("loss", 1)
        if any(theirs[k] > theirs[k - 1] and mine[k] < mine[k - 1] for k in range(1, len(theirs))):
            self.found["overfitting"] = codes("R01 D04")


class Autotrainer(Watching):
    """AUTOTRAINER's symptoms (ICSE 2021), with its published thresholds."""

    def begin(self) -> None:
        super().begin()
        self.vanished = self.exploded = self.dead = self.looks = 0

    def on_step(self, loss: Any, batch: Any) -> None:
        super().on_step(loss, batch)
        if self.step % 5 == 0:
            self.look()

    def look(self) -> None:
        """Gradients of the first and the last weight, and the share of zeros."""
        weights = [m.weight for m in self.model.modules() if isinstance(m, WEIGHTED)]
        grads = [weight.grad for weight in weights if weight.grad is not None]
        if len(grads) < 2:
            return
        self.looks += 1
        first, last = float(grads[0].abs().mean()), float(grads[-1].abs().mean())
        if last > 0:
            self.vanished += first / last < 1e-3 and first < 1e-4
            self.exploded += first / last > 70
        zeros = statistics.fmean(float((g == 0).float().mean()) for g in grads[:-1])
        self.dead += zeros >= 0.7

    def conclude(self) -> None:
        half = max(1, self.looks / 2)
        if self.exploded >= half or any(loss != loss or loss >= 1e3 for loss in self.losses):
            self.found["explode"] = codes("O08 O01 I03 D01 P01 P04")
        if self.losses and min(self.losses) < 0:
            self.found["improper loss"] = codes("S07 S03 S06")
        if self.vanished >= half:
            self.found["vanish"] = codes("O07 O09 I02")
        if self.dead >= half:
            self.found["dying ReLU"] = codes("A02 I01")
        scores = self.series("acc", 0)
        moves = [b - a for a, b in pairwise(scores)]
        turns = sum(a * b < 0 and min(abs(a), abs(b)) >= 0.03 for a, b in pairwise(moves))
        if scores and turns >= 0.2 * len(scores):
            self.found["oscillating loss"] = codes("O01 R04")
        if scores and max(scores) <= 0.6 and not any(move >= 0.01 for move in moves):
            self.found["slow convergence"] = codes("O02 O11 I02")


TOOLS: dict[str, Callable[[Task], Tool]] = {
    "torchmortem": Torchmortem,
    "torch-audit": TorchAudit,
    "torchtest2": Torchtest2,
    "umlaut": Umlaut,
    "autotrainer": Autotrainer,
}


def number(loss: Any) -> float:
    return float(next(iter(loss.values()))) if isinstance(loss, dict) else float(loss)


class OtherClinic(Clinic):
    """Hands out the tool."""

    def __init__(self, tool: Tool):
        self.last = tool


# Runs


def able(job: Job) -> bool:
    return job.style in ("classic", "split") and job.task != "ring-gan"


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The tools talk; nobody listens here."""
    logging.disable(logging.ERROR)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield
    logging.disable(logging.NOTSET)


def see(job: Job, name: str) -> dict[str, Any]:
    """One run under a tool."""
    with silence():
        task = prepare(job)
        tool = TOOLS[name](task)
        started = time.process_time()
        try:
            model = train(task, job.style, job.seed, OtherClinic(tool)).model
            tool.close()
            named = list(dict.fromkeys(tool.findings()))
            sha = weights_hash(model)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
    return {"named": named, "cpu": time.process_time() - started, "sha": sha}


def hit(job: Job, record: dict[str, Any], first: int) -> bool:
    """One of the first findings can be read as an accepted code."""
    return any(set(find_fault(job.fault).accepts) & each for each in record["named"][:first])


def line(name: str, faulty: list[Job], odd: list[Job], unwatched: Ledger) -> dict[str, Any]:
    """A tool's figures."""
    spoiled = [(job, see(job, name)) for job in faulty]
    calm = [(job, see(job, name)) for job in odd]
    ran = [(job, record) for job, record in spoiled if "error" not in record]
    quiet = [(job, record) for job, record in calm if "error" not in record]
    alarms = sum(bool(record["named"]) for _, record in quiet)
    return {
        "faulty": len(ran),
        "flagged": totals.share(bool(record["named"]) for _, record in ran),
        "top1": totals.share(hit(job, record, 1) for job, record in ran),
        "top3": totals.share(hit(job, record, 3) for job, record in ran),
        "healthy": len(quiet),
        "alarm_rate": totals.share(bool(record["named"]) for _, record in quiet),
        "alarm_rate_at_most": round(totals.at_most(alarms, len(quiet)), 4),
        "identical": totals.share(unwatched[job]["sha"] == record["sha"] for job, record in ran + quiet),
        "cpu_ratio": round(statistics.median(r["cpu"] / unwatched[job]["cpu"] for job, r in quiet), 3),
        "broke": len(spoiled) + len(calm) - len(ran) - len(quiet),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--packages", type=Path, help="the folder that they were installed into")
    parser.add_argument("--only", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--healthy", type=int, default=100)
    parser.add_argument("--every", type=int, default=1, help="of the runs, one in so many")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=examination.SCRATCH)
    parser.add_argument("--out", type=Path, default=examination.RESULT)
    return parser.parse_args()


def main() -> None:
    """Each tool in turn."""
    options = arguments()
    torch.set_num_threads(1)
    if options.packages:
        sys.path.append(str(options.packages))
    asked = argparse.Namespace(**vars(options), quick=False, codes=None, tasks=None)
    plan, unwatched = examination.make_plan(asked), Ledger(options.scratch / "unwatched.jsonl")
    unwatched.complete(plan.everything, False, options.jobs)
    harm = examination.harms(plan.faults, unwatched)
    faulty = [job for job in examination.kept_faults(plan.faults, harm) if able(job)]
    faulty = [job for job in faulty if not find_fault(job.fault).hint]
    odd = [job for job in examination.kept_healthy(plan.healthy, unwatched) if able(job)]
    faulty, odd = faulty[:: options.every], odd[:: options.every]
    table = {}
    for name in options.only:
        table[name] = line(name, faulty, odd, unwatched)
        print(name, table[name], flush=True)
    examination.save(options.out, {"others": table})


if __name__ == "__main__":
    main()
