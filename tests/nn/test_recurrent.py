"""The cells of nn/recurrent.py against torch's, and against the examples of the notes."""

import pytest
import torch
from torch import Tensor, nn

from didact.errors import UsageError
from didact.nn.recurrent import ElmanCell, LSTMCell

TORCH_ORDER = "ifgo"  # how torch.nn stacks the gates


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def map_elman(theirs: nn.RNNCell) -> ElmanCell:
    """Our weights are the transposes, our one bias the sum of torch's two."""
    ours = ElmanCell(theirs.input_size, theirs.hidden_size, theirs.nonlinearity).double()
    b = theirs.bias_ih + theirs.bias_hh
    ours.load_state_dict({"U": theirs.weight_ih.T, "W": theirs.weight_hh.T, "b": b})
    return ours


def map_lstm(theirs: nn.LSTMCell) -> LSTMCell:
    ours = LSTMCell(theirs.input_size, theirs.hidden_size).double()
    stacked = {"U": theirs.weight_ih, "W": theirs.weight_hh, "b": theirs.bias_ih + theirs.bias_hh}
    ours.load_state_dict(
        {
            f"{name}.{gate}": part.T if part.dim() == 2 else part
            for name, whole in stacked.items()
            for gate, part in zip(TORCH_ORDER, whole.chunk(4), strict=True)
        }
    )
    return ours


# Elman


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_elman_equals_torch_with_gradients(activation: str):
    theirs = nn.RNNCell(3, 5, nonlinearity=activation).double()
    ours = map_elman(theirs)
    x, h, weight = draw(4, 3), draw(4, 5), draw(4, 5)
    torch.testing.assert_close(ours(x, h), theirs(x, h), atol=1e-14, rtol=0)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-14, rtol=0)
    (ours(x, h) * weight).sum().backward()
    (theirs(x, h) * weight).sum().backward()
    torch.testing.assert_close(ours.U.grad, theirs.weight_ih.grad.T)
    torch.testing.assert_close(ours.W.grad, theirs.weight_hh.grad.T)
    torch.testing.assert_close(ours.b.grad, theirs.bias_ih.grad)


def test_elman_example_1_of_notes_004():
    """W12: two inputs, three hidden tanh neurons, two sigmoid outputs, four steps from h(0) = 0.

    The notes print b as (0.2, 0.2); three hidden neurons need three, as their worked line has.
    """
    cell = ElmanCell(input_dim=2, hidden_dim=3).double()
    cell.load_state_dict(
        {
            "U": torch.tensor([[-1.0, 0.5, 0.2], [0.5, 0.1, -2.0]]),
            "W": torch.tensor([[2.0, 1.3, -1.0], [1.5, 0.0, -0.5], [-0.2, 1.5, 0.4]]),
            "b": torch.tensor([0.2, 0.2, 0.2]),
        }
    )
    V = torch.tensor([[2.0, -1.0], [-1.5, 0.5], [0.2, 0.8]]).double()
    c = torch.tensor([0.5, 0.1]).double()
    expected = [
        ((1.0, 2.0), (0.197375, 0.716298, -0.998508), (0.406272, 0.368645)),
        ((-1.0, 1.0), (0.997632, -0.893934, -0.994590), (0.974351, 0.105244)),
        ((0.0, 3.0), (0.987959, 0.295916, -0.999997), (0.862005, 0.176535)),
        ((2.0, -1.0), (0.309319, 0.708592, 0.787222), (0.553097, 0.684549)),
    ]
    printed = [(0.41, 0.37), (0.97, 0.11), (0.86, 0.18), (0.55, 0.68)]
    h = None
    for (x, h_t, y_t), rounded in zip(expected, printed, strict=True):
        h = cell(torch.tensor([x]).double(), h)
        y = torch.sigmoid(h @ V + c)
        torch.testing.assert_close(h[0], torch.tensor(h_t).double(), atol=1e-6, rtol=0)
        torch.testing.assert_close(y[0], torch.tensor(y_t).double(), atol=1e-6, rtol=0)
        assert tuple(round(value, 2) for value in y[0].tolist()) == rounded


def test_elman_batch_is_its_sequences_one_by_one():
    cell, x = ElmanCell(2, 3).double(), draw(4, 5, 2)  # four sequences of five steps
    together, h = [], None
    for t in range(5):
        h = cell(x[:, t], h)
        together.append(h)
    for p in range(4):
        h = None
        for t in range(5):
            h = cell(x[p : p + 1, t], h)
            torch.testing.assert_close(h[0], together[t][p])


def test_elman_concatenated_form_of_notes_002():
    """rnn-concat: a(t) = phi(W [a(t-1); x(t)] + b) with W = [W^T U^T]."""
    cell, x, h = ElmanCell(2, 3).double(), draw(4, 2), draw(4, 3)
    both = torch.cat([cell.W, cell.U])
    torch.testing.assert_close(cell(x, h), torch.tanh(torch.cat([h, x], dim=1) @ both + cell.b))


def test_elman_gradient_through_one_step_is_the_notes():
    """rnn-grad-step (000, section 4.1): de/dh(t-1) = W (1 - h(t)^2) de/dh(t), in the notes' orientation."""
    cell, x, h, upstream = ElmanCell(2, 3).double(), draw(1, 2), draw(1, 3).requires_grad_(), draw(1, 3)
    out = cell(x, h)
    out.backward(upstream)
    local = (1 - out**2) * upstream
    torch.testing.assert_close(h.grad, local @ cell.W.T)
    torch.testing.assert_close(cell.W.grad, h.T @ local)


@pytest.mark.parametrize(("sizes", "count"), [((2, 3), 3 * (2 + 3 + 1)), ((8, 5), 70)])
def test_elman_parameters(sizes: tuple[int, int], count: int):
    assert sum(p.numel() for p in ElmanCell(*sizes).parameters()) == count


# LSTM


def test_lstm_equals_torch_with_gradients():
    theirs = nn.LSTMCell(3, 5).double()
    ours = map_lstm(theirs)
    x, state, weight = draw(4, 3), (draw(4, 5), draw(4, 5)), draw(4, 5)
    for mine, reference in zip(ours(x, state) + ours(x), theirs(x, state) + theirs(x), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-14, rtol=0)
    (ours(x, state)[0] * weight).sum().backward()
    (theirs(x, state)[0] * weight).sum().backward()
    for gate, grad in zip(TORCH_ORDER, theirs.weight_ih.grad.chunk(4), strict=True):
        torch.testing.assert_close(ours.U[gate].grad, grad.T)
    for gate, grad in zip(TORCH_ORDER, theirs.weight_hh.grad.chunk(4), strict=True):
        torch.testing.assert_close(ours.W[gate].grad, grad.T)


@pytest.mark.parametrize("readout", ["tanh", "linear"])
def test_lstm_stacked_form_of_notes_002(readout: str):
    """lstm-002: one matrix of 4 M rows times [h(t-1); x(t)], cut into f, i, g, o; linear as printed."""
    cell, x, h, c = LSTMCell(2, 3, readout).double(), draw(4, 2), draw(4, 3), draw(4, 3)
    W = torch.cat([torch.cat([cell.W[gate], cell.U[gate]]).T for gate in "figo"])
    b = torch.cat([cell.b[gate] for gate in "figo"])
    assert W.shape == (4 * 3, 3 + 2)
    f, i, g, o = (torch.cat([h, x], dim=1) @ W.T + b).chunk(4, dim=1)
    a = f.sigmoid() * c + i.sigmoid() * g.tanh()
    shown, cell_state = cell(x, (h, c))
    torch.testing.assert_close(cell_state, a)
    torch.testing.assert_close(shown, o.sigmoid() * (a.tanh() if readout == "tanh" else a))


def hold(cell: LSTMCell, **biases: float) -> LSTMCell:
    """Pin gates: no weight and this bias. sigmoid(50) rounds to 1, sigmoid(-50) is 2e-22."""
    with torch.no_grad():
        for gate, bias in biases.items():
            cell.U[gate].zero_()
            cell.W[gate].zero_()
            cell.b[gate].fill_(bias)
    return cell


def test_forget_gate_open_and_input_gate_shut_keep_the_cell():
    """lstm-forget-gate: f = 1, i = 0 => c(t) = c(t-1), whatever is read and for any length."""
    cell = hold(LSTMCell(2, 3).double(), f=50.0, i=-50.0)
    c0 = draw(4, 3)
    h, c = draw(4, 3), c0
    for _ in range(200):
        h, c = cell(draw(4, 2), (h, c))
    assert torch.equal(c, c0)


def test_forget_gate_shut_erases_the_cell():
    cell = hold(LSTMCell(2, 3).double(), f=-50.0)
    x, h = draw(4, 2), draw(4, 3)
    torch.testing.assert_close(cell(x, (h, draw(4, 3)))[1], cell(x, (h, draw(4, 3)))[1])


def test_output_gate_shut_hides_the_cell():
    h, c = hold(LSTMCell(2, 3).double(), o=-50.0)(draw(4, 2))
    assert h.abs().max() < 1e-12
    assert c.abs().max() > 1e-3


def test_jacobian_along_the_cell_is_the_forget_gate():
    """lstm-cell-state: dc(t)/dc(t-1) = diag(f), since no gate looks at the cell."""
    cell, x, h, c = LSTMCell(2, 3).double(), draw(1, 2), draw(1, 3), draw(1, 3)
    jacobian = torch.autograd.functional.jacobian(lambda c: cell(x, (h, c))[1], c)[0, :, 0, :]
    torch.testing.assert_close(jacobian, torch.diag(cell.gates(x, h).f[0]))


def test_gates_are_shares_and_the_candidate_is_signed():
    gates = LSTMCell(2, 3).double().gates(draw(100, 2) * 3, draw(100, 3) * 3)
    for gate in (gates.i, gates.f, gates.o):
        assert ((gate > 0) & (gate < 1)).all()
    assert gates.g.min() < 0 < gates.g.max()
    assert gates.g.abs().max() < 1


def test_gradient_fades_in_the_simple_network_and_lasts_in_the_lstm():
    """vanishing-gradient-diag: the gradient at step 0 of a loss at step 60, forget gates open."""

    def first_gradient(cell: nn.Module, lstm: bool) -> float:
        start = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
        state = (torch.zeros_like(start), start) if lstm else start
        for _ in range(60):
            state = cell(draw(1, 2), state)
        (state[1] if lstm else state).sum().backward()
        return start.grad.norm().item()

    assert first_gradient(ElmanCell(2, 8).double(), lstm=False) < 1e-9
    assert first_gradient(hold(LSTMCell(2, 8).double(), f=5.0), lstm=True) > 0.5


@pytest.mark.parametrize(("n", "m"), [(2, 3), (8, 5), (64, 256)])
def test_lstm_parameters(n: int, m: int):
    """lstm-004: 4 (n m + m^2 + m), one bias a gate; torch has one more."""
    assert sum(p.numel() for p in LSTMCell(n, m).parameters()) == 4 * (n * m + m**2 + m)
    assert sum(p.numel() for p in nn.LSTMCell(n, m).parameters()) == 4 * m * (n + m + 2)


# Mistakes


@pytest.mark.parametrize("cell", [ElmanCell, LSTMCell])
def test_sizes_that_do_not_match_are_named(cell: type[nn.Module]):
    with pytest.raises(UsageError, match="input_dim=0"):
        cell(0, 3)
    with pytest.raises(UsageError, match="hidden_dim=-1"):
        cell(2, -1)
    with pytest.raises(UsageError, match=r"x of shape \(4, 5\).*input_dim=2"):
        cell(2, 3)(torch.zeros(4, 5))
    wrong = torch.zeros(4, 7)
    with pytest.raises(UsageError, match=r"h of shape \(4, 7\).*hidden_dim=3"):
        cell(2, 3)(torch.zeros(4, 2), wrong if cell is ElmanCell else (wrong, torch.zeros(4, 3)))


def test_lstm_refuses_other_mistakes():
    with pytest.raises(UsageError, match=r"c of shape \(4, 7\)"):
        LSTMCell(2, 3)(torch.zeros(4, 2), (torch.zeros(4, 3), torch.zeros(4, 7)))
    with pytest.raises(UsageError, match="readout='relu'"):
        LSTMCell(2, 3, readout="relu")


def test_cells_start_within_the_range_of_torch():
    for ours in (ElmanCell(4, 100), LSTMCell(4, 100)):
        weights = torch.cat([p.detach().flatten() for p in ours.parameters()])
        assert weights.abs().max() <= 0.1
        assert weights.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
