"""Questions to a copy of the model: each on a model that has the fault and on one that has not."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.doctor.inputs import Inputs
from didact.doctor.probes import probe
from didact.doctor.taps import LossCall

ROWS, PLACES = 6, 12
TABLE = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(0))
SERIES = torch.randn(ROWS, PLACES, 5, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(7, (ROWS, PLACES), generator=torch.Generator().manual_seed(0))
LABELS = torch.zeros(ROWS, dtype=torch.long)


def asked(model: nn.Module, x: Tensor, targets: Tensor = LABELS, **more) -> dict:
    torch.manual_seed(0)
    return probe(model, Inputs((x,)), targets, more.get("call"), more.get("shifted"))


def mlp(*between: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), *between, nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("model", "straight"),
    [
        (mlp(), True),
        (mlp(nn.BatchNorm1d(8), nn.Dropout(0.5)), True),
        (nn.Sequential(mlp(), nn.Softmax(1)), True),
        (nn.Sequential(mlp(), nn.LogSoftmax(1)), True),
        (mlp(nn.ReLU()), False),
        (mlp(nn.Tanh()), False),
        (mlp(nn.LeakyReLU(0.9)), False),
        (mlp(nn.LayerNorm(8)), False),
    ],
)
def test_a_linear_model_is_known(model: nn.Module, straight: bool):
    assert (asked(model, TABLE)["bend"] < 1e-4) == straight


class Reader(nn.Module):
    """The mean of embeddings and two layers, with or without something between them."""

    def __init__(self, *between: nn.Module):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.layers = nn.Embedding(7, 5), mlp(*between)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layers(self.embed(tokens).mean(1))


def test_a_model_of_tokens_is_linear_behind_its_embedding():
    assert asked(Reader(), TOKENS)["bend"] < 1e-4
    assert asked(Reader(nn.ReLU()), TOKENS)["bend"] > 1e-2


def test_a_model_called_with_a_dict_is_asked_too():
    class Named(nn.Module):
        def __init__(self, model: nn.Module):
            super().__init__()
            self.model = model

        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return self.model(batch["x"])

    for model, straight in ((mlp(), True), (mlp(nn.ReLU()), False)):
        found = probe(Named(model), Inputs(({"x": TABLE},)), LABELS, None, None)
        assert (found["bend"] < 1e-4) == straight


NAMES = torch.stack(
    [torch.arange(ROWS) % 3, torch.randint(3, 50, (ROWS,), generator=torch.Generator().manual_seed(0))], 1
)


class Beside(nn.Module):
    """Two names of a row, of three and of fifty, beside its numbers, (B, 2) and (B, 5)."""

    def __init__(self, *between: nn.Module, mixes: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.few, self.many, self.mixes = nn.Embedding(3, 4), nn.Embedding(50, 4), mixes
        self.layers = nn.Sequential(nn.Linear(13, 8), *between, nn.Linear(8, 3))

    def forward(self, names: Tensor, numbers: Tensor) -> Tensor:
        out = self.layers(torch.cat([self.few(names[:, 0]), self.many(names[:, 1]), numbers], 1))
        return out - out.mean(0) if self.mixes else out


@pytest.mark.parametrize("mixes", [True, False])
def test_names_beside_numbers_that_are_taken_for_those_of_other_rows(mixes: bool) -> None:
    """Vectors of one name after the other are cut into rows of two, as if they were those of one row."""

    class Stacked(Beside):
        def forward(self, numbers: Tensor, names: Tensor) -> Tensor:
            both = [self.few(names[:, 0]), self.many(names[:, 1])]
            vectors = torch.stack(both).reshape(len(names), -1) if mixes else torch.cat(both, 1)
            return self.layers(torch.cat([vectors, numbers], 1))

    torch.manual_seed(0)
    found = probe(Stacked(nn.ReLU()), Inputs((TABLE, NAMES)), LABELS, None, None)
    assert (found["mixing"] > 1e-3) == mixes


def test_a_graph_beside_the_rows_is_left_as_it_is() -> None:
    class Neighbours(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor, graph: Tensor) -> Tensor:
            return self.layer(x) * graph.sum(0).std()

    torch.manual_seed(0)
    graph = torch.rand(len(TABLE), len(TABLE))
    assert probe(Neighbours(), Inputs((TABLE, graph)), LABELS, None, None)["mixing"] == 0.0


@pytest.mark.parametrize("straight", [True, False])
@pytest.mark.parametrize("mixes", [True, False])
def test_a_model_of_names_beside_numbers_is_asked_with_names_that_it_knows(
    straight: bool, mixes: bool
) -> None:
    model = Beside(*[] if straight else [nn.ReLU()], mixes=mixes)
    torch.manual_seed(0)
    found = probe(model, Inputs((NAMES, TABLE)), LABELS, None, None)
    assert (found["bend"] < 1e-4) == straight
    assert (found["mixing"] > 1e-3) == mixes
    assert found["reach"] > 1e-3


@pytest.mark.parametrize("between", [[], [nn.ReLU()]], ids=["straight", "relu"])
@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AdaptiveMaxPool2d(3)], ids=["max", "adaptive"])
def test_a_network_that_nothing_but_its_pools_bends(between: list[nn.Module], pool: nn.Module) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), *between, pool, nn.Conv2d(4, 4, 3, padding=1), *between]
    images = torch.randn(ROWS, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    found = asked(nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 3)), images)
    assert found["bend"] > 1e-2
    assert (found["bend but for pools"] < 1e-4) == (not between)
    assert "bend but for pools" not in asked(mlp(*between), TABLE)


@pytest.mark.parametrize("between", [[], [nn.ReLU()]], ids=["straight", "relu"])
def test_a_model_of_two_inputs_is_asked_with_rows_that_belong_together(between: list[nn.Module]) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp(*between)

        def forward(self, x: Tensor, offset: Tensor) -> Tensor:
            return self.layers(x) + offset

    model = Two()
    torch.manual_seed(0)
    found = probe(model, Inputs((TABLE, torch.randn(ROWS, 1))), LABELS, None, None)
    assert (found["bend"] < 1e-4) == (not between)


@pytest.mark.parametrize("cut", [True, False])
def test_what_the_loss_of_the_answer_does_not_reach(cut: bool) -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.beside = nn.Linear(5, 8), nn.Linear(8, 3), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.first(x)
            return self.last(hidden.detach() if cut else hidden), self.beside(hidden)

    model = Halves()
    answer = model(TABLE)[0]
    loss = F.cross_entropy(answer, LABELS)
    call = LossCall("cross_entropy", answer.detach(), LABELS, loss.detach(), F.cross_entropy)
    beside = ["beside.weight", "beside.bias"]
    assert asked(model, TABLE, call=call)["unreached"] == ["first.weight", "first.bias"] * cut + beside
    model.first.requires_grad_(False)  # which nobody meant to train
    assert asked(model, TABLE, call=call)["unreached"] == beside
    assert "unreached" not in asked(model, TABLE)


class Recurrent(nn.Module):
    """The last state of an LSTM; with ``batch_first`` as it should be or not."""

    def __init__(self, batch_first: bool):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(5, 8, batch_first=batch_first), nn.Linear(8, 3)
        self.last = 1 if batch_first else 0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def test_rows_that_are_mixed_are_known():
    assert asked(Recurrent(True), SERIES)["mixing"] == 0.0
    assert asked(Recurrent(False), SERIES)["mixing"] > 1e-3


def test_a_sequence_that_goes_first_is_no_mixture():
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(5, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:  # (T, B, F)
            return self.head(self.lstm(x)[0][-1])

    found = asked(Turned(), SERIES.transpose(0, 1).contiguous())
    assert found["mixing"] == 0.0


class Deaf(nn.Module):
    """One answer for all rows, whatever they are; or their mean, where it ``listens`` to the batch."""

    def __init__(self, listens: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.listens = mlp(nn.ReLU()), listens

    def forward(self, x: Tensor) -> Tensor:
        heard = x.mean(0, keepdim=True).expand_as(x)
        return self.layers(heard if self.listens else torch.zeros_like(x))


def test_an_answer_that_ignores_its_row_is_known() -> None:
    assert asked(Deaf(), TABLE)["reach"] == 0.0
    assert asked(Deaf(listens=True), TABLE)["reach"] > 1e-3  # and is mixed
    for model, x in (
        (mlp(), TABLE),
        (mlp(nn.ReLU()), TABLE),
        (Reader(), TOKENS),
        (Recurrent(True), SERIES),
        (Recurrent(False), SERIES),
    ):
        assert asked(model, x)["reach"] > 1e-3, model


def test_only_an_answer_to_each_row_can_ignore_it() -> None:
    assert "reach" not in asked(mlp(), TABLE[:1], LABELS[:1])
    assert "reach" not in asked(mlp(), TABLE, LABELS[:4])  # whose rows are they?

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).mean(0)

    assert "reach" not in asked(Pooled(), TABLE)


class Language(nn.Module):
    """One attention layer over tokens, causal or not, with positions or without."""

    def __init__(self, causal: bool, positions: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.place = nn.Embedding(7, 8), nn.Parameter(torch.randn(PLACES, 8) * positions)
        self.attend, self.head, self.causal = (
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 7),
            causal,
        )

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place[: tokens.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1]) if self.causal else None
        return self.head(x + self.attend(x, x, x, attn_mask=mask, need_weights=False)[0])


def test_who_sees_the_future_is_known():
    targets = TOKENS.roll(-1, 1)
    assert asked(Language(True), TOKENS, targets, shifted=1)["future"] == 0.0
    assert asked(Language(False), TOKENS, targets, shifted=1)["future"] > 1e-3
    assert "future" not in asked(Language(False), TOKENS, targets)


def test_who_is_blind_to_order_is_known():
    assert asked(Language(False, positions=False), TOKENS, TOKENS)["order"] < 1e-5
    assert asked(Language(False), TOKENS, TOKENS)["order"] > 1e-3
    assert "order" not in asked(Language(False), TOKENS, TOKENS.flatten())  # which axis are the places?


def test_a_causal_language_model_without_positions_is_blind_to_what_came_before():
    targets = TOKENS.roll(-1, 1)
    assert asked(Language(True, positions=False), TOKENS, targets, shifted=1)["order"] < 1e-5
    assert asked(Language(True), TOKENS, targets, shifted=1)["order"] > 1e-3


def test_what_the_loss_hears_of_each_place():
    model = Recurrent(True)
    answer = model(SERIES)
    loss = F.cross_entropy(answer, LABELS)
    call = LossCall("cross_entropy", answer.detach(), LABELS, loss.detach(), F.cross_entropy)
    leaf = SERIES.clone().requires_grad_()
    F.cross_entropy(model(leaf), LABELS).backward()
    assert leaf.grad is not None
    expected = leaf.grad.double().pow(2).sum(-1).mean(0).sqrt()
    found = asked(model, SERIES, call=call)
    assert found["memory"] == pytest.approx(expected.tolist())
    assert found["answers last"]


def test_the_model_and_the_random_numbers_are_left_alone(capsys: pytest.CaptureFixture[str]):
    class Talks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(5, 3), 0
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            print("forward")
            self.calls += 1
            return self.norm(F.dropout(self.layer(x), training=True))

    model = Talks()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    assert "mixing" in probe(model, Inputs((TABLE,)), LABELS, None, None)
    assert torch.equal(state, torch.get_rng_state())
    assert model.calls == 0
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert capsys.readouterr().out == ""


def test_what_cannot_be_copied_is_not_asked():
    model = nn.Linear(5, 3)
    model.cache = model.weight * 2  # a tensor with a history cannot be deep-copied
    assert asked(model, TABLE) == {}
