"""The LSTM language model: counts, its fast path against the cell of nn/, its state and its first bias."""

import pytest
import torch

from didact.errors import UsageError
from didact.models.recurrent.lstm import LSTM
from didact.nn.recurrent import LSTMCell


def cells_of(model: LSTM) -> list[LSTMCell]:
    """The model's layers as cells written out; torch stacks the gates i, f, g, o and keeps two biases."""
    cells = []
    for k in range(model.num_layers):
        W_ih, W_hh, b_ih, b_hh = model.recurrent.all_weights[k]
        cell = LSTMCell(W_ih.shape[1], model.hidden_dim).double()
        for g, gate in enumerate("ifgo"):
            rows = slice(g * model.hidden_dim, (g + 1) * model.hidden_dim)
            cell.U[gate].data = W_ih[rows].T.detach()
            cell.W[gate].data = W_hh[rows].T.detach()
            cell.b[gate].data = (b_ih + b_hh)[rows].detach()
        cells.append(cell)
    return cells


@pytest.mark.parametrize("num_layers", [1, 3])
def test_fast_path_equals_the_equations(num_layers: int):
    torch.manual_seed(0)
    model = LSTM(11, 5, 8, num_layers=num_layers).double().eval()
    cells, tokens = cells_of(model), torch.randint(11, (3, 6))
    states, logits = [None] * num_layers, []
    for t in range(6):
        x = model.embedding(tokens[:, t])
        for k, cell in enumerate(cells):
            states[k] = cell(x, states[k])
            x = states[k][0]
        logits.append(model.head(x))
    out, (h, c) = model.forward_with_state(tokens)
    torch.testing.assert_close(out, torch.stack(logits, dim=1))
    torch.testing.assert_close(h, torch.stack([state[0] for state in states]))
    torch.testing.assert_close(c, torch.stack([state[1] for state in states]))


@pytest.mark.parametrize(("V", "E", "M", "L"), [(65, 64, 256, 1), (11, 5, 8, 3)])
def test_parameters(V: int, E: int, M: int, L: int):
    """Notes: 4 h (x + h + 1), with the second bias of torch 4 h (x + h + 2); the embedding and the head."""
    expected = V * E + 4 * M * (E + M + 2) + (L - 1) * 4 * M * (2 * M + 2) + V * (M + 1)
    assert sum(p.numel() for p in LSTM(V, E, M, L).parameters()) == expected


def test_forget_gates_start_open():
    model = LSTM(11, 5, 8, num_layers=2)
    for _, _, b_ih, b_hh in model.recurrent.all_weights:
        assert torch.equal((b_ih + b_hh)[8:16], torch.ones(8))
        assert (b_ih + b_hh)[:8].abs().max() < 1
    gates = cells_of(model.double())[0].gates(torch.zeros(1, 5).double(), torch.zeros(1, 8).double())
    torch.testing.assert_close(gates.f, torch.full((1, 8), 0.7310585786).double())  # sigmoid(1)


def test_state_carries_the_past():
    model = LSTM(11, 5, 8, num_layers=2).double().eval()
    tokens = torch.randint(11, (3, 9))
    first, state = model.forward_with_state(tokens[:, :4])
    assert [part.shape for part in state] == [(2, 3, 8), (2, 3, 8)]
    whole = model(tokens)
    torch.testing.assert_close(first, whole[:, :4])
    torch.testing.assert_close(model(tokens[:, 4:], state), whole[:, 4:])
    assert not torch.allclose(model(tokens[:, 4:]), whole[:, 4:])


def test_dropout_between_layers_and_before_the_head():
    single, double = LSTM(11, 5, 8, dropout=0.5), LSTM(11, 5, 8, num_layers=2, dropout=0.5)
    assert (single.recurrent.dropout, double.recurrent.dropout, double.drop.p) == (0.0, 0.5, 0.5)
    tokens = torch.randint(11, (2, 5))
    assert not torch.equal(single(tokens), single(tokens))
    assert torch.equal(single.eval()(tokens), single(tokens))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"hidden_dim": -1}, "hidden_dim=-1"),
        ({"dropout": -0.1}, "dropout=-0.1"),
    ],
)
def test_mistakes_are_named(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        LSTM(**{"vocab_size": 11, **given})


@pytest.mark.parametrize("shape", [(7,), (2, 0), (2, 7, 1)])
def test_tokens_of_another_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="tokens of shape"):
        LSTM(11)(torch.zeros(shape, dtype=torch.long))
