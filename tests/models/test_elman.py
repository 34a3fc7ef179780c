"""The Elman language model: counts, its fast path against the cell of nn/, and its state."""

import pytest
import torch

from didact.errors import UsageError
from didact.models.recurrent.elman import Elman
from didact.nn.recurrent import ElmanCell


def cells_of(model: Elman) -> list[ElmanCell]:
    """The model's layers as cells written out; torch's two biases add up to our one."""
    cells = []
    for k in range(model.num_layers):
        W_ih, W_hh, b_ih, b_hh = model.recurrent.all_weights[k]
        cell = ElmanCell(W_ih.shape[1], model.hidden_dim, model.activation).double()
        cell.load_state_dict({"U": W_ih.T, "W": W_hh.T, "b": b_ih + b_hh})
        cells.append(cell)
    return cells


@pytest.mark.parametrize(("num_layers", "activation"), [(1, "tanh"), (3, "tanh"), (2, "relu")])
def test_fast_path_equals_the_equation(num_layers: int, activation: str):
    torch.manual_seed(0)
    model = Elman(11, 5, 8, num_layers=num_layers, activation=activation).double().eval()
    cells, tokens = cells_of(model), torch.randint(11, (3, 6))
    states, logits = [None] * num_layers, []
    for t in range(6):
        x = model.embedding(tokens[:, t])
        for k, cell in enumerate(cells):
            states[k] = x = cell(x, states[k])
        logits.append(model.head(x))
    out, state = model.forward_with_state(tokens)
    torch.testing.assert_close(out, torch.stack(logits, dim=1))
    torch.testing.assert_close(state, torch.stack(states))


@pytest.mark.parametrize(("V", "E", "M", "L"), [(65, 64, 256, 1), (11, 5, 8, 3)])
def test_parameters(V: int, E: int, M: int, L: int):
    """Notes: h (x + h + 1) + o (h + 1), and the second bias of torch, and the embedding."""
    expected = V * E + M * (E + M + 2) + (L - 1) * M * (2 * M + 2) + V * (M + 1)
    assert sum(p.numel() for p in Elman(V, E, M, L).parameters()) == expected


def test_same_size_for_any_length():
    model = Elman(11, 5, 8)
    for length in (1, 2, 50):
        assert model(torch.zeros(2, length, dtype=torch.long)).shape == (2, length, 11)


def test_state_carries_the_past():
    model = Elman(11, 5, 8, num_layers=2).double().eval()
    tokens = torch.randint(11, (3, 9))
    first, state = model.forward_with_state(tokens[:, :4])
    assert state.shape == (2, 3, 8)
    whole = model(tokens)
    torch.testing.assert_close(first, whole[:, :4])
    torch.testing.assert_close(model(tokens[:, 4:], state), whole[:, 4:])
    assert not torch.allclose(model(tokens[:, 4:]), whole[:, 4:])


def test_dropout_between_layers_and_before_the_head():
    single, double = Elman(11, 5, 8, dropout=0.5), Elman(11, 5, 8, num_layers=2, dropout=0.5)
    assert (single.recurrent.dropout, double.recurrent.dropout, double.drop.p) == (0.0, 0.5, 0.5)
    tokens = torch.randint(11, (2, 5))
    assert not torch.equal(single(tokens), single(tokens))
    assert torch.equal(single.eval()(tokens), single(tokens))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"vocab_size": 0}, "vocab_size=0"),
        ({"num_layers": 0}, "num_layers=0"),
        ({"dropout": 1.5}, "dropout=1.5"),
        ({"activation": "gelu"}, "activation='gelu': a recurrent layer has tanh or relu"),
    ],
)
def test_mistakes_are_named(given: dict, message: str):
    with pytest.raises(UsageError, match=message):
        Elman(**{"vocab_size": 11, **given})


@pytest.mark.parametrize("shape", [(7,), (2, 0), (2, 7, 1)])
def test_tokens_of_another_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(UsageError, match="tokens of shape"):
        Elman(11)(torch.zeros(shape, dtype=torch.long))
