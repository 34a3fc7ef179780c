"""One contract over the whole catalogue: a new entry is held to all of it, with no test to write.

A check that cannot hold for an entry is excused in the entry itself, with the reason.
"""

import ast
import doctest
import inspect
import itertools
import logging
import shutil
import subprocess
import sys
import time
import warnings
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from didact.catalog import CATALOG, build, constructor_arguments
from didact.errors import UsageError

SOURCE = Path(__file__).parents[1] / "src"
MODELS = SOURCE / "didact" / "models"
CHECKS = {"memorise", "rate", "compile", "onnx", "onnx-time"}  # what an entry may be excused from
TIME = 7  # tokens in a window

every_entry = pytest.mark.parametrize("name", CATALOG)
every_input = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, entry in CATALOG.items() for kind in entry.inputs]
)


def first_of_its_file(name: str) -> bool:
    """Whether no entry before it is of the same file; what takes long runs by default for these alone."""
    file = CATALOG[name].target.split(":")[0]
    return name == next(other for other, entry in CATALOG.items() if entry.target.startswith(f"{file}:"))


def case(name: str, *more: str) -> Any:
    """A parameter of a test that takes long: slow but for the first of each file."""
    return pytest.param(name, *more, marks=() if first_of_its_file(name) else pytest.mark.slow)


one_of_each_file = pytest.mark.parametrize("name", [case(name) for name in CATALOG])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# What an entry takes and gives, read off its constructor arguments.


def arguments(name: str) -> dict[str, Any]:
    """The tiny constructor arguments, the defaults filled in."""
    known = constructor_arguments(name)
    return {key: CATALOG[name].tiny.get(key, parameter.default) for key, parameter in known.items()}


def tiny(name: str) -> nn.Module:
    return build(name, **CATALOG[name].tiny)


def example_shape(name: str, kind: str) -> tuple[int, ...]:
    """The shape of one example, without the batch."""
    sizes = {"image_size": CATALOG[name].recipe.get("image_size"), **arguments(name)}
    if kind == "tokens":
        return (TIME,)
    if kind == "sample":
        return (sizes["noise_dim"],)
    if kind == "image" and "in_channels" in sizes:
        return (sizes["in_channels"], sizes["image_size"], sizes["image_size"])
    if kind == "image":
        return (1, 2, sizes["in_features"] // 2)
    return (sizes["in_features"],)


def batch_of(name: str, kind: str, count: int, shape: tuple[int, ...] | None = None) -> Tensor:
    shape = (count, *(example_shape(name, kind) if shape is None else shape))
    if kind == "tokens":
        return torch.randint(arguments(name)["vocab_size"], shape)
    return torch.randn(shape)


def inputs_of(name: str, count: int = 2) -> Tensor:
    return batch_of(name, CATALOG[name].inputs[0], count)


def output_shape(name: str, x: Tensor) -> tuple[int, ...]:
    """What the task declares: (B, K) logits, (B, T, V) logits, (B, O) numbers, (B, D) samples."""
    sizes = arguments(name)
    if "language" in CATALOG[name].tasks:
        return (*x.shape, sizes["vocab_size"])
    width = next(sizes[key] for key in ("num_classes", "out_features", "data_dim") if key in sizes)
    return (len(x), width)


def reach(model: nn.Module, x: Tensor) -> Tensor:
    """An output that every parameter has a part in; the players of a game meet in the discriminator."""
    if hasattr(model, "forward_with_auxiliary"):
        return torch.cat(model.forward_with_auxiliary(x))
    out = model(x)
    return model.get_submodule("discriminator")(out) if hasattr(model, "discriminator") else out


def excused(name: str, check: str) -> None:
    if check in CATALOG[name].excuses:
        pytest.skip(CATALOG[name].excuses[check])


# Building


@every_entry
def test_tiny_builds_in_under_a_second(name: str):
    CATALOG[name].resolve()
    started = time.process_time()
    model = tiny(name)
    assert time.process_time() - started < 1
    assert sum(p.numel() for p in model.parameters()) < 1_000_000


@every_entry
def test_constructor_arguments_are_stored_unchanged(name: str):
    model, given = tiny(name), arguments(name)
    for key, value in given.items():
        assert getattr(model, key) == value
        assert type(getattr(model, key)) is type(value)


@every_entry
def test_a_nonsensical_argument_is_named_in_one_line(name: str):
    nonsense = {int: (0, -3), float: (-0.1, 1.0), str: ("no-such-thing",), tuple: ((0,), (4, -1)), bool: ()}
    of_its_own = {"width": (0.0, -0.25)}  # a factor, where the other fractions are shares of 1
    for key, value in arguments(name).items():
        for bad in of_its_own.get(key, nonsense[type(value)]):
            with pytest.raises(UsageError, match=rf"^{key}=") as raised:
                build(name, **{**CATALOG[name].tiny, key: bad})
            assert "\n" not in str(raised.value)


@every_entry
def test_the_count_of_the_entry_is_true(name: str):
    if any(each.default is each.empty for each in constructor_arguments(name).values()):
        pytest.skip("the data decides")
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name).parameters()) == CATALOG[name].parameters


@every_entry
def test_same_seed_same_weights_and_output(name: str):
    x, outputs, weights = inputs_of(name), [], []
    for _ in range(2):
        torch.manual_seed(1)
        model = tiny(name)
        weights.append(model.state_dict())
        outputs.append(model(x))
    assert torch.equal(*outputs)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@every_entry
def test_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]):
    model = tiny(name)
    reach(model, inputs_of(name)).sum().backward()
    assert tuple(capfd.readouterr()) == ("", "")


# Running


@every_input
def test_output_has_the_declared_shape(name: str, kind: str):
    for count in (1, 5):
        x = batch_of(name, kind, count)
        out = tiny(name)(x)
        assert out.shape == output_shape(name, x)
        assert out.isfinite().all()


@every_input
def test_an_odd_size_works_or_is_refused_in_one_line(name: str, kind: str):
    model, usual = tiny(name).eval(), example_shape(name, kind)
    changes = itertools.product((-1, 0, 1), repeat=len(usual))
    odd = {tuple(n + change for n, change in zip(usual, each, strict=True)) for each in changes}
    odd |= {(0,) * len(usual), (1,) * len(usual), (), (*usual, 3)}
    for shape in sorted(odd - {usual}):
        x = batch_of(name, kind, 2, shape)
        try:
            works, said = model(x).shape == output_shape(name, x), ""
        except ValueError as error:
            works, said = False, str(error)
        assert works or said, shape
        assert "\n" not in said


@every_entry
def test_every_parameter_gets_a_finite_gradient(name: str):
    model = tiny(name)
    out = reach(model, inputs_of(name, 4))
    (out * torch.randn_like(out)).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@every_entry
def test_eval_twice_is_bit_identical(name: str):
    model, x = tiny(name).eval(), inputs_of(name)
    assert torch.equal(model(x), model(x))


@every_entry
def test_examples_of_a_batch_do_not_mix(name: str):
    model, x = tiny(name).eval().double(), inputs_of(name, 3)
    x = x.double() if x.is_floating_point() else x
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


@every_entry
def test_state_dict_round_trips(name: str):
    model, other, x = tiny(name).eval(), tiny(name).eval(), inputs_of(name)
    assert not torch.equal(model(x), other(x))
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(model(x), other(x))


@every_entry
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_precisions_run(name: str, dtype: torch.dtype):
    model, x = tiny(name).eval(), inputs_of(name)
    usual = model(x)
    out = model.to(dtype)(x.to(dtype) if x.is_floating_point() else x)
    assert out.dtype == dtype
    scale = max(1.0, usual.abs().max().item())  # untrained, a deep residual network gives large outputs
    near = 1e-5 if dtype == torch.float64 else 0.1
    torch.testing.assert_close(out.float(), usual, atol=near * scale, rtol=0)


@every_entry
def test_a_language_model_goes_on_from_its_state(name: str):
    if "language" not in CATALOG[name].tasks:
        pytest.skip("not a language model")
    model, tokens = tiny(name).eval().double(), inputs_of(name)
    state, steps = None, []
    for t in range(TIME):
        logits, state = model.forward_with_state(tokens[:, t : t + 1], state)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), model(tokens))
    changed = tokens.clone()
    changed[:, -1] = (tokens[:, -1] + 1) % arguments(name)["vocab_size"]
    assert torch.equal(model(changed)[:, :-1], model(tokens)[:, :-1])  # the past does not see the future


# Learning


def eight_examples(name: str, task: str) -> tuple[Tensor, Tensor]:
    x = inputs_of(name, 8)
    if task == "classify":
        return x, torch.arange(8) % output_shape(name, x)[1]
    if task == "regress":
        return x, torch.randn(output_shape(name, x))
    x[:, 0] = torch.arange(8)  # the first token tells the text apart
    return x, x.roll(-1, dims=1)


LOSSES = {
    "classify": F.cross_entropy,
    "regress": F.mse_loss,
    "language": lambda logits, following: F.cross_entropy(logits.flatten(0, 1), following.flatten()),
}


@pytest.mark.parametrize(
    ("name", "task"),
    [case(name, task) for name, entry in CATALOG.items() for task in entry.tasks],
)
def test_memorises_eight_examples(name: str, task: str):
    excused(name, "memorise")
    model, (x, target) = tiny(name), eight_examples(name, task)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001 if "rate" in CATALOG[name].excuses else 0.02)
    for _ in range(500):
        loss = LOSSES[task](model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            return
    pytest.fail(f"the loss is still {loss.item():.3f} after 500 steps")


# Leaving Python

# No worker processes, and scalar loops: to probe for vector instructions takes longer than all the rest.
PLAIN_CODE = {"compile_threads": 1, "cpp.simdlen": 1, "cpp.vec_isa_ok": True}


MANY = 12  # layers with weights, beyond which the C++ or the ONNX of a network takes up to a minute


def deep(name: str) -> bool:
    """Whether a network has many layers: by default it is traced and lowered, and the slow tests go on."""
    return sum(parameter.dim() > 1 for parameter in tiny(name).parameters()) > MANY


def check_compiled(name: str, backend: str) -> None:
    excused(name, "compile")
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    model, x = tiny(name).eval(), inputs_of(name)
    with torch.no_grad(), warnings.catch_warnings(), torch._inductor.config.patch(PLAIN_CODE):
        warnings.simplefilter("ignore")  # torch's own deprecations
        torch.testing.assert_close(torch.compile(model, backend=backend)(x), model(x))


@one_of_each_file
def test_compiled_output_is_equal(name: str):
    check_compiled(name, "aot_eager" if deep(name) else "inductor")


@pytest.mark.slow
@every_entry
def test_compiled_to_machine_code_is_equal(name: str):
    check_compiled(name, "inductor")


def to_export(name: str) -> tuple[nn.Module, list[Tensor], dict[int, Any]]:
    """A network, two batches of different sizes, and the axes that are free: of a text its length as well."""
    excused(name, "onnx")
    free = {0: torch.export.Dim.DYNAMIC}
    other = batch_of(name, CATALOG[name].inputs[0], 5)
    if CATALOG[name].inputs[0] == "tokens" and "onnx-time" not in CATALOG[name].excuses:
        free[1] = torch.export.Dim.DYNAMIC
        other = batch_of(name, "tokens", 5, (TIME + 4,))
    return tiny(name).eval(), [inputs_of(name, 3), other], free


def check_captured(name: str) -> None:
    model, batches, free = to_export(name)
    program = torch.export.export(model, (batches[0],), dynamic_shapes=(free,)).module()
    for batch in batches:
        torch.testing.assert_close(program(batch), model(batch))


def check_onnx(name: str) -> None:
    pytest.importorskip("onnxscript", reason="pip install 'didact[test]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'didact[test]'")
    model, batches, free = to_export(name)
    logging.disable(logging.WARNING)  # torch.onnx logs that there is no torchvision
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # third parties' deprecations
            program = torch.onnx.export(
                model, (batches[0],), dynamo=True, verbose=False, dynamic_shapes=(free,)
            )
    finally:
        logging.disable(logging.NOTSET)
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    feed = session.get_inputs()[0].name
    for batch in batches:
        out = torch.from_numpy(session.run(None, {feed: batch.numpy()})[0])
        torch.testing.assert_close(out, model(batch).detach(), atol=1e-5, rtol=1e-4)


@one_of_each_file
def test_exported_output_is_equal(name: str):
    (check_captured if deep(name) else check_onnx)(name)


@pytest.mark.slow
@every_entry
def test_onnx_output_is_equal(name: str):
    check_onnx(name)


# The list itself


def model_files() -> list[Path]:
    return sorted(path for path in MODELS.rglob("*.py") if path.name != "__init__.py")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def test_every_model_file_has_an_entry():
    listed = {entry.target.split(":")[0] for entry in CATALOG.values()}
    assert {module_of(path) for path in model_files()} == listed


def test_chapters_stand_together_in_course_order():
    chapters = [entry.target.split(".")[2] for entry in CATALOG.values()]
    met = [chapter for chapter, _ in itertools.groupby(chapters)]
    course = ["linear", "cnn", "detect", "segment", "recurrent", "transformer", "generate", "graph", "act"]
    assert met == [chapter for chapter in course if chapter in met]


@every_entry
def test_entry_is_complete(name: str):
    entry = CATALOG[name]
    assert issubclass(entry.resolve(), nn.Module)
    assert entry.about
    assert "notes" in entry.source
    assert entry.tasks
    assert entry.inputs
    assert entry.data
    assert set(entry.tiny) <= set(constructor_arguments(name))
    assert set(entry.excuses) <= CHECKS
    assert all(entry.excuses.values())


@every_entry
def test_file_opens_with_a_paper_card_whose_example_runs(name: str):
    module = import_module(CATALOG[name].resolve().__module__)
    card = module.__doc__ or ""
    for part in ("https://", "Differs from the paper: ", "See also: "):
        assert part in card
    family = [n for n, e in CATALOG.items() if e.target.startswith(f"{module.__name__}:")]
    assert any(f"``didact train {n}``" in card for n in family)
    assert ">>>" in (inspect.getdoc(CATALOG[name].resolve()) or "")
    assert doctest.testmod(module).failed == 0


def test_models_take_whole_networks_from_one_another():
    """A part that another file wants moves to ``nn/``; an import between models names a catalogued class."""
    whole = {tuple(entry.target.split(":")) for entry in CATALOG.values()}
    for path in model_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("didact.models"):
                assert {(node.module, alias.name) for alias in node.names} <= whole, module_of(path)


def test_catalogue_loads_without_torch():
    code = "import sys, didact.catalog; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_example_shapes_fit_their_constructor_arguments():
    """The helper above agrees with itself: a table, a bag and an image of one model hold as many numbers."""
    for name, entry in CATALOG.items():
        sizes = {prod(example_shape(name, kind)) for kind in entry.inputs}
        assert len(sizes) == 1
