"""Healthy scripts of kinds that once raised an alarm, as their users would write them, and what is near."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

import didact
from didact.doctor.doctor import Doctor

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(320, 6, generator=GENERATOR)
Y = X[:, :3].argmax(1)
Loss = Callable[[nn.Module, Tensor], Tensor]


def watched(model: nn.Module, loss: Loss, updates: int = 120, rows: int = 32) -> Doctor:
    """So many updates in epochs over the rows."""
    torch.manual_seed(0)
    optimizer, order = torch.optim.Adam(model.parameters(), lr=0.01), torch.arange(0)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(updates):
            order = order if len(order) >= rows else torch.randperm(320)
            batch, order = order[:rows], order[rows:]
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
    assert doctor.chart.errors == []
    return doctor


def net(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, classes))


def test_a_model_inside_a_functional_transform_is_not_read() -> None:
    model = net(1)
    weights = dict(model.named_parameters())

    def loss_of(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return ((functional_call(model, values, (x,)) - y) ** 2).mean()

    def adapted(x: Tensor, y: Tensor) -> Tensor:
        slopes = grad(loss_of)(weights, x, y)
        return loss_of({name: weights[name] - 0.05 * slopes[name] for name in weights}, x, y)

    tasks = X.reshape(8, 40, 6), X.sum(1).reshape(8, 40, 1)
    doctor = watched(model, lambda m, rows: vmap(adapted)(*tasks).mean())
    assert doctor.chart.step == 120
    assert doctor.report().codes() == []


def test_a_sparse_graph_beside_the_rows_is_no_part_of_them() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            return torch.sparse.mm(edges, self.two(torch.relu(torch.sparse.mm(edges, self.one(x)))))

    edges, trained = torch.eye(320).to_sparse(), Y.argsort()[::4]  # one batch, sorted by its labels
    doctor = watched(Graph(), lambda model, rows: F.cross_entropy(model(X, edges)[trained], Y[trained]))
    assert doctor.report().codes() == []


def test_labels_that_are_mixed_are_nobodys() -> None:
    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        out, other = model(X[rows]), rows.roll(1)
        return 0.5 * F.cross_entropy(out, Y[rows]) + 0.5 * F.cross_entropy(out, Y[other])

    doctor = watched(net(), loss)
    assert doctor.chart.accuracy == []
    assert doctor.observer.epochs.first is None


def test_a_head_is_not_scored_by_the_labels_of_another() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.kind, self.domain = nn.Linear(6, 16), nn.Linear(16, 3), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(self.trunk(x))
            return self.kind(h), self.domain(h)

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        kind, here = model(X[rows])
        _, there = model(X[rows.flip(0)] + 2)
        domains = torch.zeros(len(rows), dtype=torch.long), torch.ones(len(rows), dtype=torch.long)
        known = F.cross_entropy(kind, Y[rows])
        return known + F.cross_entropy(here, domains[0]) + F.cross_entropy(there, domains[1])

    assert set(watched(Two(), loss).chart.rows.labels) <= {0, 1, 2}
    assert watched(Two(), loss).report().codes() == []


def test_values_that_are_estimated_anew_are_not_out_of_step() -> None:
    model = net(1)

    def loss(model: nn.Module, rows: Tensor) -> Tensor:  # of a state and the next one, as in Q-learning
        with torch.no_grad():
            target = 0.1 * X[rows, 0] + 0.9 * model(X[(rows + 1) % 320]).squeeze(1)
        return F.smooth_l1_loss(model(X[rows]).squeeze(1), target)

    doctor = watched(model, loss)
    assert doctor.chart.rows.again > 500
    assert "L01" not in doctor.report().codes()


def test_a_loss_by_hand_that_sorts_its_rows_tells_nothing_of_their_labels() -> None:
    time, event = X[:, 0].exp(), (X[:, 1] > 0).float()

    def cox(model: nn.Module, rows: Tensor) -> Tensor:
        order = time[rows].argsort(descending=True)
        risk = model(X[rows]).squeeze(1)[order]
        return -((risk - torch.logcumsumexp(risk, 0)) * event[rows][order]).mean()

    assert watched(net(1), cox).report().codes() == []


class Writer(nn.Module):
    """A decoder that is given the words it has to tell."""

    def __init__(self, shifts: bool) -> None:
        super().__init__()
        self.read, self.write, self.head = nn.Embedding(9, 8), nn.Embedding(10, 8), nn.Linear(8, 9)
        self.shifts = shifts

    def forward(self, source: Tensor, words: Tensor) -> Tensor:
        if self.shifts:
            words = torch.cat([torch.full((len(words), 1), 9), words[:, :-1]], 1)
        return self.head(torch.tanh(self.read(source).mean(1, keepdim=True) + self.write(words)))


@pytest.mark.parametrize("shifts", [True, False])
def test_words_that_the_model_shifts_itself_are_not_read_off(shifts: bool) -> None:
    sources = torch.randint(9, (320, 4), generator=GENERATOR)
    targets = sources.sort(1).values

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        return F.cross_entropy(model(sources[rows], targets[rows]).flatten(0, 1), targets[rows].flatten())

    torch.manual_seed(0)
    assert ("L03" in watched(Writer(shifts), loss).report().codes()) is not shifts


def test_targets_that_a_model_takes_to_compute_its_loss_are_not_read_off() -> None:
    words = torch.randint(9, (320, 5), generator=GENERATOR).cumsum(1) % 9

    class Teller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.tell = nn.Embedding(9, 16), nn.Linear(16, 9)

        def forward(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            scores = self.tell(self.read(x))
            return scores, F.cross_entropy(scores.flatten(0, 1), targets.flatten())

    torch.manual_seed(0)
    doctor = watched(Teller(), lambda model, rows: model(words[rows, :-1], words[rows, 1:])[1])
    assert "L03" not in doctor.report().codes()


def test_noise_inside_a_model_mixes_no_rows() -> None:
    class Sampler(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.back = nn.Linear(6, 4), nn.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            mean = self.mean(x)
            return self.back(torch.tanh(mean + 0.1 * torch.randn_like(mean)))

    torch.manual_seed(0)
    doctor = watched(Sampler(), lambda model, rows: F.mse_loss(model(X[rows]), X[rows]))
    assert doctor.chart.probes["mixing"] == 0.0


def test_deviations_that_start_alike_beside_means_that_do_not_are_no_constant_layer() -> None:
    class Bayes(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.mean = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
            self.spread = nn.Parameter(torch.full((outputs, inputs), -4.0))

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.mean + F.softplus(self.spread) * torch.randn_like(self.spread)).T

    torch.manual_seed(0)
    model = nn.Sequential(Bayes(6, 16), nn.Tanh(), Bayes(16, 3))
    assert watched(model, lambda m, rows: F.cross_entropy(m(X[rows]), Y[rows])).report().codes() == []


def test_a_head_that_was_replaced_with_its_optimizer_is_in_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    with didact.watch(model, quiet=True) as doctor:
        for _ in range(2):
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
            for rows in torch.arange(320).split(16):
                optimizer.zero_grad()
                F.cross_entropy(model(X[rows]), Y[rows]).backward()
                optimizer.step()
            model[2] = nn.Linear(16, 3)
    assert "parameters of no module" not in doctor.chart.counts


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_clamped_loss_is_seen_behind_a_division(scale: float) -> None:
    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        return F.cross_entropy(model(X[rows]), Y[rows]).clamp(max=0.5) / scale

    assert watched(net(), loss).report().codes()[0] == "S07"


def test_a_clamp_that_cuts_nothing_off_is_none() -> None:
    doctor = watched(net(), lambda m, rows: F.cross_entropy(m(X[rows]), Y[rows]).clamp(min=1e-6, max=50.0))
    assert doctor.report().codes() == []


def test_what_a_part_hands_on_is_no_row_of_the_data() -> None:
    torch.manual_seed(0)
    trunk, head = nn.Sequential(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 3)
    optimizer = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=0.01)
    with didact.watch([trunk, head], optimizer, quiet=True) as doctor:
        for _ in range(4):
            for rows in torch.randperm(256).split(16):
                optimizer.zero_grad()
                F.cross_entropy(head(10 * trunk(X[rows])), Y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                head(trunk(X[256:]))
    assert doctor.chart.rows.moments["train"][2].mean() < 2 * doctor.chart.rows.moments["train"][0]
    assert doctor.chart.epochs[-1].val_rows == 64
    assert "P02" not in doctor.report().codes()
