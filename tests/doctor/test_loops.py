"""Loops written in ways that once misled the doctor: what it may not say, and what it has to see."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import didact
from didact.doctor.doctor import Doctor
from didact.doctor.passes import Tally

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(320, 4, generator=GENERATOR)
Y = (X[:, :3] + torch.randn(320, 3, generator=GENERATOR)).argmax(1)
TRAINED = torch.arange(320) < 192
Loss = Callable[[nn.Module, Tensor], Tensor]


def watched(
    model: nn.Module, loss: Loss, updates: int = 20, after: Callable[[nn.Module], object] | None = None
) -> Doctor:
    """So many updates on random rows, and something after each of them."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(updates):
            rows = torch.randint(192, (32,))
            optimizer.zero_grad()
            loss(model, rows).backward()
            optimizer.step()
            if after is not None:
                after(model)
    assert doctor.chart.errors == []
    return doctor


def test_a_parameter_without_rows_is_described_like_all_others() -> None:
    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.prompt = nn.Linear(4, 3), nn.Parameter(torch.empty(0, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    found = watched(Prompted(), lambda model, rows: F.cross_entropy(model(X[rows]), Y[rows])).chart.weights
    assert [weight.shape for weight in found if weight.name == "prompt"] == [(0, 8)]


def test_a_divergence_of_pictures_has_its_classes_second() -> None:
    pictures, shares = torch.randn(192, 3, 8, 8), torch.randn(192, 5, 8, 8).softmax(1)

    def loss(axis: int) -> Loss:
        return lambda model, rows: F.kl_div(
            model(pictures[rows]).log_softmax(axis), shares[rows], reduction="batchmean"
        )

    assert "S03" not in watched(nn.Conv2d(3, 5, 1), loss(1)).report().codes()
    assert watched(nn.Conv2d(3, 5, 1), loss(0)).report().codes()[0] == "S03"


def test_what_is_ignored_stays_so_beside_another_loss() -> None:
    labels = torch.where(torch.arange(320) % 3 == 0, 7, Y)

    def loss(model: nn.Module, rows: Tensor) -> Tensor:
        out = model(X[rows])
        return F.cross_entropy(out, labels[rows], ignore_index=7) + 0.1 * F.mse_loss(out, X[rows, :3])

    assert set(watched(nn.Linear(4, 3), loss).chart.rows.labels) == {0, 1, 2}


def test_ignored_places_of_the_kept_batch_are_not_scored() -> None:
    labels = torch.where(torch.arange(320) % 2 == 0, -100, (X[:, 0] > 0).long())

    def validate(model: nn.Module) -> None:
        with torch.no_grad():
            F.cross_entropy(model(X[192:]), labels[192:])
            model(X[192:])

    doctor = watched(
        nn.Linear(4, 2), lambda m, rows: F.cross_entropy(m(X[rows]), labels[rows]), 120, after=validate
    )
    scored = [epoch.in_eval for epoch in doctor.chart.epochs if epoch.in_eval is not None]
    assert scored
    assert scored[-1][1] > 0.8  # nobody says what the other half is


def test_targets_that_come_flattened_belong_to_the_rows_of_a_decoder() -> None:
    sources = torch.cartesian_prod(*[torch.arange(9)] * 3)[torch.randperm(729, generator=GENERATOR)[:192]]

    class Writer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.write, self.head = nn.Embedding(9, 8), nn.Embedding(10, 8), nn.Linear(8, 9)

        def forward(self, source: Tensor, words: Tensor) -> Tensor:
            return self.head(torch.tanh(self.read(source).mean(1, keepdim=True) + self.write(words)))

    torch.manual_seed(0)
    model = Writer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for turn in range(4):
            targets = sources.flip(1).roll(turn, 0)  # they slip with each epoch
            for rows in torch.randperm(192).split(32):
                words = torch.cat([torch.full((32, 1), 9), targets[rows][:, :-1]], 1)
                optimizer.zero_grad()
                F.cross_entropy(model(sources[rows], words).flatten(0, 1), targets[rows].flatten()).backward()
                optimizer.step()
    assert doctor.chart.rows.again == 3 * 192
    assert "L01" in doctor.report().codes()


@pytest.mark.parametrize("first", ["the rows of training", "a constant"])
def test_of_several_masks_over_one_pass_the_last_is_the_validation(first: str) -> None:
    torch.manual_seed(0)
    model, true = nn.Linear(4, 3), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for _ in range(20):
            optimizer.zero_grad()
            F.cross_entropy(model(X)[TRAINED], Y[TRAINED]).backward()
            optimizer.step()
            with torch.no_grad():
                answers = model(X).argmax(1)
                constant = torch.full_like(Y[~TRAINED], 2)
                other = (answers[TRAINED], Y[TRAINED]) if first != "a constant" else (constant, Y[~TRAINED])
                torch.eq(*other)
                true.append(float((answers[~TRAINED] == Y[~TRAINED]).double().mean()))
    epochs = doctor.chart.epochs
    assert [e.val_accuracy for e in epochs] == pytest.approx([true[e.step - 1] for e in epochs])


def test_where_all_answers_are_as_sure_none_is_surer() -> None:
    tally, right = Tally(), torch.arange(100) < 50
    tally.add_sureness(torch.tensor([[1.0, 0.0]] * 100), right, torch.ones_like(right))
    assert tally.surer == 0.5


def test_a_pass_after_each_update_is_no_validation_at_the_end() -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))

    def look(model: nn.Module) -> None:
        with torch.no_grad():
            model(X[:32])

    doctor = watched(model, lambda m, rows: F.cross_entropy(m(X[rows]), Y[rows]), 40, after=look)
    assert "E01" not in doctor.report().codes()


def test_graphs_of_evaluation_are_seen_where_all_of_it_falls_into_quiet_updates() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with didact.watch(model, optimizer, quiet=True, budget=0.0) as doctor:
        for _ in range(4):
            model.train()
            for _ in range(105):
                rows = torch.randint(192, (32,))
                optimizer.zero_grad()
                F.cross_entropy(model(X[rows]), Y[rows]).backward()
                optimizer.step()
            model.eval()
            for rows in torch.arange(192, 320).split(32):
                model(X[rows]).argmax(1).tolist()
    assert "E03" in [finding.code for finding in doctor.report().findings]


@pytest.mark.parametrize(
    ("slow", "found"), [("the rows", True), ("what is done beside", False), ("both", True)]
)
def test_a_loader_is_waited_for_and_what_the_loop_does_beside_is_not_its_fault(
    slow: str, found: bool
) -> None:
    class Rows(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 320

        def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
            time.sleep(0.0015 if slow != "what is done beside" else 0)
            return X[k], Y[k]

    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with didact.watch(model, optimizer, quiet=True) as doctor:
        for x, y in torch.utils.data.DataLoader(Rows(), batch_size=8):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            time.sleep(0.006 if slow != "the rows" else 0)
    assert ("E06" in doctor.report().codes()) == found


def test_batches_that_are_made_by_hand_are_waited_for() -> None:
    doctor = watched(
        nn.Linear(4, 3),
        lambda model, rows: F.cross_entropy(model(X[rows]), Y[rows]),
        40,
        lambda _: time.sleep(0.006),
    )
    assert "E06" in doctor.report().codes()
