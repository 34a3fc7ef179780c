"""What is answered on paper is what torch answers, and what it is not sure of it leaves to torch."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from didact.anatomy.paper import LEFT, RULES, Paper, answer

aten = torch.ops.aten


def on_paper(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


IMAGE, ODD = on_paper(2, 4, 9, 12), on_paper(2, 4, 7, 7)
LAST = IMAGE.to(memory_format=torch.channels_last)
C, INTS = on_paper(4), on_paper(2, 5, dtype=torch.int64)
CONVOLUTION = ([1, 1], [0, 0], [1, 1], False, [0, 0])

CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (aten.convolution.default, (IMAGE, on_paper(6, 4, 3, 3), on_paper(6), *CONVOLUTION, 1)),
    (aten.convolution.default, (IMAGE, on_paper(6, 2, 3, 5), None, [2, 1], [1, 2], [1, 2], False, [0, 0], 2)),
    (aten.convolution.default, (IMAGE, on_paper(4, 6, 3, 3), None, [2, 2], [1, 1], [1, 1], True, [1, 1], 1)),
    (aten.convolution.default, (LAST, on_paper(6, 4, 3, 3), None, *CONVOLUTION, 1)),
    (
        aten.convolution.default,
        (on_paper(2, 4, 9), on_paper(6, 4, 3), on_paper(6), [2], [1], [1], False, [0], 1),
    ),
    (aten.mm.default, (on_paper(3, 4), on_paper(5, 4).t())),
    (aten.addmm.default, (on_paper(5), on_paper(3, 4), on_paper(5, 4).t())),
    (aten.bmm.default, (on_paper(2, 3, 4), on_paper(2, 5, 4).transpose(1, 2))),
    (aten.native_batch_norm.default, (IMAGE, C, C, C, C, False, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (IMAGE, None, None, C, C, True, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (LAST, C, C, C, C, True, 0.1, 1e-5)),
    (aten.native_layer_norm.default, (on_paper(2, 5, 8), [8], on_paper(8), on_paper(8), 1e-5)),
    (aten.native_layer_norm.default, (on_paper(2, 5, 8), [5, 8], None, None, 1e-5)),
    *(
        (aten.max_pool2d_with_indices.default, (IMAGE, [3, 3], [2, 2], p, [1, 1], c))
        for p in ([0, 0], [1, 1])
        for c in (False, True)
    ),
    (aten.max_pool2d_with_indices.default, (ODD, [2, 2])),
    (aten.max_pool2d_with_indices.default, (ODD, [2, 2], [2, 2], [1, 1], [1, 1], True)),
    *((aten.avg_pool2d.default, (IMAGE, [3], [2], [1], c)) for c in (False, True)),
    (aten._adaptive_avg_pool2d.default, (IMAGE, [3, 5])),
    (aten.mean.dim, (IMAGE, [-1, -2], True)),
    (aten.mean.dim, (IMAGE, [2, 3])),
    (aten.sum.dim_IntList, (IMAGE, [1])),
    (aten.cat.default, ([IMAGE, on_paper(2, 3, 9, 12)], 1)),
    (aten.cat.default, ([LAST, LAST], 1)),
    (aten.cat.default, ([on_paper(2, 3, 4), on_paper(2, 4, 5).transpose(1, 2)], -2)),
    (aten.stack.default, ([C, C, C], -1)),
    (aten._softmax.default, (on_paper(2, 5), -1, False)),
    (aten.embedding.default, (on_paper(10, 4), INTS)),
    (aten.embedding.default, (on_paper(10, 4), INTS.t())),
    (aten.add.Tensor, (IMAGE, IMAGE)),
    (aten.add.Tensor, (IMAGE, on_paper(4, 1, 1))),
    (aten.add.Tensor, (LAST, IMAGE)),
    (aten.mul.Tensor, (IMAGE, IMAGE.to(torch.float64))),
    (aten.div.Tensor, (INTS, INTS)),
    (aten.pow.Tensor_Scalar, (IMAGE, 2)),
    (aten.relu.default, (LAST,)),
    (aten.relu.default, (IMAGE[:, ::2],)),
    (aten.gelu.default, (IMAGE,)),
    (aten.hardtanh_.default, (IMAGE, 0.0, 6.0)),
    (aten.add_.Tensor, (IMAGE, IMAGE)),
]


def looks(result: Any) -> list[tuple[Any, ...]]:
    return [(t.shape, t.stride(), t.dtype, t.device) for t in tree_flatten(result)[0]]


@pytest.mark.parametrize(("operation", "args"), CASES, ids=lambda value: str(value)[:40])
def test_the_answer_is_torchs(operation: Any, args: tuple[Any, ...]):
    assert looks(answer(operation, args, {})) == looks(operation(*args))


WRONG = [
    (aten.convolution.default, (IMAGE, on_paper(6, 3, 3, 3), None, *CONVOLUTION, 1)),
    (aten.convolution.default, (IMAGE, on_paper(6, 4, 11, 3), None, *CONVOLUTION, 1)),
    (aten.mm.default, (on_paper(3, 4), on_paper(5, 4))),
    (aten.addmm.default, (on_paper(6), on_paper(3, 4), on_paper(4, 5))),
    (aten.bmm.default, (on_paper(2, 3, 4), on_paper(3, 4, 5))),
    (aten.max_pool2d_with_indices.default, (IMAGE, [10, 10])),
    (aten.cat.default, ([IMAGE, ODD], 1)),
    (aten.stack.default, ([C, on_paper(5)],)),
    (aten.add.Tensor, (IMAGE, ODD)),
    (aten.add_.Tensor, (C, IMAGE)),
    (aten.native_layer_norm.default, (on_paper(2, 5, 8), [7], on_paper(7), on_paper(7), 1e-5)),
]


@pytest.mark.parametrize(("operation", "args"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_torchs_error(operation: Any, args: tuple[Any, ...]):
    assert RULES[operation](*args) is LEFT
    with pytest.raises((RuntimeError, ValueError, IndexError)) as theirs:
        operation(*args)
    with pytest.raises(type(theirs.value)):
        answer(operation, args, {})


def test_every_plain_case_is_answered_here():
    left = [operation for operation, args in CASES if RULES[operation](*args) is LEFT]
    assert len(left) == 11


def test_real_tensors_are_left_to_torch():
    x = torch.randn(3, 4)
    assert torch.equal(answer(aten.relu.default, (x,), {}), x.relu())


def test_gradients_pass_through_paper():
    weight = on_paper(6, 4, 3, 3).requires_grad_()
    with Paper():
        torch.nn.functional.conv2d(IMAGE, weight).relu().mean((2, 3)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.shape == weight.shape
