"""How much arithmetic an operation is.

A MAC is a product that is added to a sum: the step of convolutions, matrix products and attention. A FLOP is
one operation on two numbers, so that **1 MAC = 2 FLOPs**. That is the convention of the lectures: an output
of a convolution costs D1·F² products, D1·F² - 1 additions between them and one for the bias, 2·F²·D1
together. The bias is inside and not added a second time; without a bias the same number is kept. FLOPs count;
FLOPS, operations a second, are a rate, and are not said here.

Every product counts, also with the zeros of a padding or a causal mask, as the usual implementations compute
them. What is not a sum of products (activations, norms, pooling, additions of shortcuts) is no MAC and no
FLOP here. It is not silently zero either: it is listed by name, with how often it ran and how many numbers it
gave. Looking up, copying and reshaping are no arithmetic.
"""

# B batch, D1 maps in, D2 maps out, F filter, I features in, O features out, T time, H heads,
# E width of a head, L queries, S keys

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from didact.anatomy.trace import Call, Ref, Shape, Trace

FLOPS_PER_MAC = 2


class _Shapes:
    """The shapes of a call's arguments, by position."""

    def __init__(self, trace: Trace, call: Call):
        self.trace, self.call = trace, call
        self.out: Shape = trace.shape(call.outputs[0]) if call.outputs else ()

    def __getitem__(self, place: int) -> Shape:
        value = self.call.args[place]
        assert isinstance(value, Ref), f"argument {place} of {self.call.op} is no tensor"
        return self.trace.shape(value.number)

    def given(self, place: int) -> bool:
        """Whether there is a tensor at this place."""
        return place < len(self.call.args) and isinstance(self.call.args[place], Ref)

    def argument(self, place: int, name: str, default: Any) -> Any:
        """A value by its place or its name."""
        args = self.call.args
        return args[place] if place < len(args) else self.call.kwargs.get(name, default)


def _convolution(s: _Shapes) -> int:
    """Each output sums a filter's products; of a transposed one, each input is spread by a filter's."""
    transposed, weight = s.argument(6, "transposed", False), s[1]
    return prod(s[0] if transposed else s.out) * prod(weight[1:])


def _product(left: int, right: int) -> Callable[[_Shapes], int]:
    """A matrix product of two arguments: (..., M, K) and (..., K, N), or (K,)."""

    def count(s: _Shapes) -> int:
        a, b = s[left], s[right]
        return prod(a) * (b[-1] if len(b) > 1 else 1)

    return count


def _linear(s: _Shapes) -> int:
    return prod(s[0]) * s[1][0]


def _bilinear(s: _Shapes) -> int:
    """Every triple x1 · w · x2 is added to an output: B·O·I1·I2."""
    shapes = [list(s[k]) for k in range(3)]
    for shape, added in zip(shapes, s.call.args[3:6], strict=True):
        for axis in added:
            shape.insert(axis, 1)
    return prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _embedding_bag(s: _Shapes) -> int:
    """A weighted sum of rows; without weights there are only additions."""
    return prod(s[1]) * s[0][-1] if s.given(6) else 0


def _attention(s: _Shapes) -> int:
    """Queries with keys, (B, H, L, E) with (B, H, S, E), then weights with values."""
    queries, keys, values = s[0], s[1], s[2]
    return prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])


def _attention_of_rows(s: _Shapes) -> int | None:
    """The same with the heads behind the time: (B, L, H, E). Of texts packed in one row: not known."""
    queries, keys, values = s[0], s[1], s[2]
    if len(queries) != 4:
        return None
    return prod(queries[:-1]) * keys[-3] * (queries[-1] + values[-1])


def _recurrent_layer(s: _Shapes) -> int:
    """One layer of an LSTM, in one direction: every step multiplies with both matrices."""
    steps = prod(s[0][:-1])
    return steps * (prod(s[1]) + prod(s[2]))


def _recurrent_layers(s: _Shapes) -> int:
    """All layers of the GPU's recurrence: every step multiplies with every matrix."""
    steps = prod(s[0][:-1])
    weights = (s.trace.shape(ref.number) for ref in s.call.args[1] if isinstance(ref, Ref))
    return steps * sum(prod(shape) for shape in weights if len(shape) == 2)


def _whole_attention(s: _Shapes) -> int:
    """Projections of queries, keys, values and of the outcome, with attention between them."""
    (batch, queries, width), keys = s[0], s[1][1]
    projections = batch * width * width * (2 * queries + 2 * keys)
    return projections + 2 * batch * queries * keys * width


def _encoder_layer(s: _Shapes) -> int:
    """The attention of a text with itself, and two linear layers."""
    batch, steps, width = s[0]
    hidden = s.argument(14, "ffn_weight_1", None)
    wide = s.trace.shape(hidden.number)[0]
    attention = 4 * batch * steps * width * width + 2 * batch * steps * steps * width
    return attention + 2 * batch * steps * width * wide


FORMULAS: Mapping[str, Callable[[_Shapes], int | None]] = {
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "_int_mm", "_scaled_mm"), _product(0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), _product(1, 2)),
    "linear": _linear,
    "_trilinear": _bilinear,
    **dict.fromkeys(("_embedding_bag", "_embedding_bag_forward_only"), _embedding_bag),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_attention_math_for_mps",
        ),
        _attention,
    ),
    **dict.fromkeys(("_flash_attention_forward", "_efficient_attention_forward"), _attention_of_rows),
    "_cudnn_attention_forward": _attention,
    "mkldnn_rnn_layer": _recurrent_layer,
    **dict.fromkeys(("_cudnn_rnn", "miopen_rnn"), _recurrent_layers),
    "_native_multi_head_attention": _whole_attention,
    "_transformer_encoder_layer_fwd": _encoder_layer,
}

_NO_ARITHMETIC = """
    _conj _local_scalar_dense _nested_tensor_from_mask _pack_padded_sequence _reshape_alias _reshape_copy
    _to_copy _unsafe_index _unsafe_view alias as_strided arange bernoulli bernoulli_ broadcast_to cat
    channel_shuffle clone constant_pad_nd contiguous copy copy_ detach detach_ diagonal embedding empty
    empty_like empty_permuted empty_strided expand expand_copy exponential_ fill fill_ flip full full_like
    gather im2col index index_copy index_put index_put_ index_select is_same_size item lift_fresh
    lift_fresh_copy masked_fill masked_fill_ masked_select narrow native_channel_shuffle new_empty
    new_full new_ones new_zeros nonzero normal_ ones ones_like permute pixel_shuffle pixel_unshuffle rand
    rand_like randint randn randn_like randperm reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d resize_ roll rot90
    scalar_tensor scatter select select_scatter slice slice_scatter split split_with_sizes squeeze
    squeeze_ stack sym_numel sym_size sym_stride t t_ take transpose transpose_ tril tril_ triu triu_
    unbind unfold uniform_ unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_
    upsample_nearest1d upsample_nearest2d upsample_nearest3d view view_as_complex view_as_real view_copy
    where zero_ zeros zeros_like
"""
NO_ARITHMETIC = frozenset(_NO_ARITHMETIC.split())


def macs(trace: Trace, call: Call) -> int | None:
    """Products with an addition of one operation; None where it is not a sum of products.

    Example:
        >>> found = trace(nn.Linear(4, 2), torch.zeros(1, 4))
        >>> [macs(found, call) for call in found.calls]
        [None, 8]
    """
    formula = FORMULAS.get(call.op.removesuffix("_"))  # addmm_ writes in place
    return formula(_Shapes(trace, call)) if formula else None


@dataclass(frozen=True)
class NotCounted:
    """Operations of one name that are no sums of products.

    Attributes:
        op: Its name.
        times: How often it ran.
        elements: Numbers that it gave, all times together.
    """

    op: str
    times: int
    elements: int

    def __str__(self) -> str:
        return f"{self.op} x{self.times} ({self.elements:,} numbers)"


def not_counted(trace: Trace, calls: Iterable[Call]) -> tuple[NotCounted, ...]:
    """What among these operations is arithmetic, and in no sum of MACs; the largest first."""
    found: dict[str, list[int]] = {}
    for call in calls:
        if is_arithmetic(call) and not macs(trace, call):
            given = prod(trace.shape(call.outputs[0])) if call.outputs else 0
            found.setdefault(call.op, []).append(given)
    listed = [NotCounted(op, len(given), sum(given)) for op, given in found.items()]
    return tuple(sorted(listed, key=lambda entry: -entry.elements))


def is_arithmetic(call: Call) -> bool:
    """Whether an operation computes, and does not only look up, copy, reshape or fill."""
    return call.op not in NO_ARITHMETIC
