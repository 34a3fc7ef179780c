"""Times: in the right order, of the right layers, beside a ceiling; never a number of seconds."""

import json

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import didact
from didact.anatomy.timing import Ceiling, ceiling, measure, time_layers
from didact.draw.style import to_svg
from didact.errors import UsageError


class Uneven(nn.Module):
    """A layer of a hundred times the work of another, called twice, and an addition between."""

    def __init__(self):
        super().__init__()
        self.small, self.large = nn.Linear(16, 16), nn.Linear(16, 2048)
        self.back = nn.Linear(2048, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.small(x)
        return self.back(self.large(x)) + self.back(self.large(x))


@pytest.fixture(scope="module")
def timing():
    return time_layers(Uneven(), (16,), batch=256)


def test_rows_are_those_of_the_table(timing):
    assert [(row.name, row.own) for row in timing.rows] == [
        ("small", False),
        ("", True),
        ("large", False),
        ("back", False),
    ]
    table = didact.inspect(Uneven(), (16,), batch=256)
    assert [row.flops for row in timing.rows] == [row.flops for row in table.layers]
    assert timing.rows[2].flops == 2 * 2 * 256 * 16 * 2048  # called twice


def test_more_work_takes_longer(timing):
    small, _, large, _ = timing.rows
    assert large.milliseconds > 3 * small.milliseconds
    assert all(0 < row.low <= row.milliseconds <= row.high for row in timing.rows)


def test_a_container_has_the_time_that_its_modules_leave(timing):
    small, own, large, back = timing.rows
    assert own.milliseconds < small.milliseconds + large.milliseconds + back.milliseconds


def test_the_layers_make_up_the_whole(timing):
    together = sum(row.milliseconds for row in timing.rows)
    assert 0.2 * timing.milliseconds < together < 5 * timing.milliseconds
    assert timing.turns >= 3
    assert timing.batch == 256


def test_bytes_are_what_must_be_moved(timing):
    small, own, large, _ = timing.rows
    assert small.bytes == 4 * (256 * 16 + 16 * 16 + 16 + 256 * 16)
    assert large.bytes == 2 * 4 * (256 * 16 + 16 * 2048 + 2048 + 256 * 2048)
    assert own.bytes == 4 * 2 * 3 * 256 * 16  # two additions: two read, one written
    assert small.intensity == pytest.approx(small.flops / small.bytes)


def test_what_is_looked_up_is_moved_and_not_the_whole_table():
    row = time_layers(nn.Embedding(1000, 8), (5,), dtype=torch.int64, turns=1).rows[0]
    assert row.bytes == 5 * 8 + 2 * 5 * 8 * 4  # tokens, their rows read and written


def test_the_bound_follows_from_the_ridge(timing):
    limit = timing.ceiling
    for row in timing.rows:
        assert row.bound == ("compute" if row.intensity >= limit.ridge else "memory")
        if row.flops:
            attained = row.flops / (row.milliseconds / 1e3)
            assert row.share == pytest.approx(attained / limit.attainable(row.intensity))
            assert row.gflops == pytest.approx(attained / 1e9)
    assert timing.rows[1].bound == "memory"  # an addition has no product at all


def test_the_roof_has_a_ridge():
    roof = Ceiling(flops=100.0, bandwidth=20.0, device="cpu", threads=1, dtype="float32")
    assert roof.ridge == 5
    assert roof.attainable(1) == 20
    assert roof.attainable(5) == roof.attainable(50) == 100


def test_the_ceiling_is_measured_once():
    found = ceiling()
    assert found is ceiling("cpu")
    assert found.flops > 1e8
    assert found.bandwidth > 1e8
    assert "GFLOP/s" in str(found)


def test_a_wide_product_comes_near_the_ceiling():
    row = time_layers(nn.Linear(512, 512, bias=False), (512,), batch=512).rows[0]
    assert row.bound == "compute"
    assert 0.1 < row.share < 10


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    model[0].register_forward_hook(called := lambda *_: pytest.fail("the user's hook ran"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    time_layers(model, (1, 6, 6), turns=2)
    assert model.training
    assert all(part.training for part in model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert list(model[0]._forward_hooks.values()) == [called]
    assert not model[1]._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_result_can_be_read_printed_and_drawn(timing):
    facts = json.loads(json.dumps(timing.to_dict()))
    assert [row["name"] for row in facts["layers"]] == ["small", "", "large", "back"]
    assert facts["ceiling"]["ridge"] == timing.ceiling.ridge
    text = str(timing)
    assert text.splitlines()[0].split()[:3] == ["layer", "kind", "ms"]
    assert "(itself)" in text
    assert "the whole, batch 256" in text
    assert max(map(len, text.splitlines())) <= 110
    figure = timing.plot()
    assert isinstance(figure, Figure)
    assert "FLOPs for each byte" in to_svg(figure)


def test_a_whole_network_takes_time():
    assert measure(nn.Linear(256, 2048), (256,), batch=64) > measure(nn.Linear(4, 4), (4,), batch=1) > 0


def test_without_numbers_there_is_nothing_to_measure():
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with pytest.raises(UsageError, match="Linear is on the meta device: it has no numbers"):
        time_layers(model, (2,))
    with pytest.raises(UsageError, match="turns=0: must be 1 or more"):
        time_layers(nn.Linear(2, 2), (2,), turns=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_the_clock_waits():
    timing = time_layers(nn.Linear(4096, 4096).cuda(), (4096,), batch=4096)
    assert timing.ceiling.device.startswith("cuda")
    assert 0.05 < timing.rows[0].share < 2  # a clock that does not wait would see a hundredfold
