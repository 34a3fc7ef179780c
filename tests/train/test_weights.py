"""Weights to start from: found, checked, renamed, loaded strictly, and read by nothing that can run code."""

import functools
import hashlib
import http.server
import json
import pickle
import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import didact
from didact.catalog import CATALOG, find
from didact.data.encode import read_image
from didact.errors import DidactError, RunError, UsageError
from didact.train.files import save_tensors
from didact.train.migrate import migrated, unwrapped
from didact.train.published import FILES, pixels_of, pixels_of_config, published_file
from didact.train.recipe import make_recipe
from didact.train.weights import check_digest, find_weights, load_weights

DENSENET_OF_2017 = ("denselayer1.norm1", "denselayer1.norm.1")


def tiny(name: str, seed: int = 0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    return didact.build(name, **{**CATALOG[name].tiny, **changes})


def same(first: nn.Module, second: nn.Module, without: tuple[str, ...] = ()) -> bool:
    theirs = second.state_dict()
    return all(
        torch.equal(tensor, theirs[name])
        for name, tensor in first.state_dict().items()
        if name not in without
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torch's own cache, empty, where its documented variable says."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path):
    """A folder that is served on this machine, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def with_digest(model: nn.Module, folder, name: str):
    """Save a state dict under a name that ends with its digest, as torchvision does."""
    path = folder / "unnamed.pth"
    torch.save(model.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(folder / f"{name}-{digest[:8]}.pth")


# Loading


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_fills_the_network(tmp_path, suffix):
    source, target = tiny("resnet18"), tiny("resnet18", seed=1)
    path = tmp_path / f"some{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_tensors(path, source.state_dict(), {})
    report = load_weights(target, path)
    assert same(target, source)
    assert len(report.loaded) == len(source.state_dict())
    assert str(report) == f"weights {path}: {len(report.loaded)} of {len(report.loaded)} tensors loaded"


def test_other_classes_get_a_new_head(tmp_path):
    source, target = tiny("resnet18"), tiny("resnet18", seed=1, num_classes=4)
    torch.save(source.state_dict(), tmp_path / "some.pth")
    before = target.fc.weight.detach().clone()
    report = load_weights(target, tmp_path / "some.pth")
    assert set(report.new) == {"fc.weight", "fc.bias"}
    assert torch.equal(target.fc.weight, before)
    assert same(target, source, without=("fc.weight", "fc.bias"))
    assert "a new head: fc.weight, fc.bias" in str(report)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), "missing: layer1.0.conv1.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected: extra"),
        (lambda s: s.update(conv1=s.pop("conv1.weight")), "missing: conv1.weight, unexpected: conv1"),
    ],
)
def test_anything_else_is_refused_and_changes_nothing(tmp_path, spoil, message):
    state, target, before = tiny("resnet18").state_dict(), tiny("resnet18", seed=1), tiny("resnet18", seed=1)
    spoil(state)
    torch.save(state, tmp_path / "some.pth")
    with pytest.raises(RunError, match=message):
        load_weights(target, tmp_path / "some.pth")
    assert same(target, before)


def test_another_width_is_named(tmp_path):
    torch.save(tiny("resnet18", width=0.25).state_dict(), tmp_path / "some.pth")
    with pytest.raises(RunError, match=r"conv1.weight has shape \(16, 1, 3, 3\), but the network wants \(8,"):
        load_weights(tiny("resnet18"), tmp_path / "some.pth")


# Names


def test_densenets_old_names(tmp_path):
    source = tiny("densenet121")
    old = {key.replace(*DENSENET_OF_2017): tensor for key, tensor in source.state_dict().items()}
    assert old.keys() != source.state_dict().keys()
    torch.save(old, tmp_path / "old.pth")
    target = tiny("densenet121", seed=1)
    report = load_weights(target, tmp_path / "old.pth")
    assert same(target, source)
    assert report.renamed["features.denseblock1.denselayer1.norm1.weight"].endswith("norm.1.weight")


def test_vision_transformers_old_and_timms_names(tmp_path):
    source = tiny("vit-s-16")
    state = source.state_dict()
    old = {
        k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v for k, v in state.items()
    }
    timm = {}
    for key, tensor in state.items():
        for ours, theirs in {
            "class_token": "cls_token",
            "encoder.pos_embedding": "pos_embed",
            "conv_proj": "patch_embed.proj",
            "encoder.layers.encoder_layer_": "blocks.",
            "ln_1": "norm1",
            "ln_2": "norm2",
            "self_attention.in_proj_": "attn.qkv.",
            "self_attention.out_proj": "attn.proj",
            "mlp.0": "mlp.fc1",
            "mlp.3": "mlp.fc2",
            "encoder.ln": "norm",
            "heads.head": "head",
        }.items():
            key = key.replace(ours, theirs)
        timm[key] = tensor
    assert "blocks.0.attn.qkv.weight" in timm
    for number, names in enumerate((old, timm)):
        torch.save(names, tmp_path / f"{number}.pth")
        target = tiny("vit-s-16", seed=1)
        load_weights(target, tmp_path / f"{number}.pth")
        assert same(target, source)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")},
    ],
    ids=["state_dict", "model", "data-parallel", "lightning", "compiled", "before torch 0.4.1"],
)
def test_what_stands_around_the_weights(tmp_path, wrap):
    source, target = tiny("resnet18"), tiny("resnet18", seed=1)
    torch.save(wrap(source.state_dict()), tmp_path / "some.pth")
    load_weights(target, tmp_path / "some.pth")
    assert same(target, source)


def test_a_frozen_norm_drops_its_counter():
    state, renamed = migrated({"bn.num_batches_tracked": torch.zeros(1)}, ["bn.weight"])
    assert (state, renamed) == ({}, {})


def test_what_is_no_table_of_tensors():
    assert unwrapped([1, 2]) is None
    assert unwrapped({}) is None
    assert unwrapped({"lr": 0.1, "weight": torch.zeros(1)}) is None


def test_a_file_that_could_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("owned",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"weight": Evil()}, protocol=2))
    with pytest.raises(RunError, match="not a file of weights that is safe to read"):
        load_weights(tiny("resnet18"), tmp_path / "evil.pth")


# Where they come from


def test_the_digest_in_the_name_is_checked(tmp_path):
    path = with_digest(tiny("resnet18"), tmp_path, "resnet18")
    check_digest(path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RunError, match=r"its SHA-256 begins with .*, its name says .*; it is damaged"):
        load_weights(tiny("resnet18"), path)


def test_an_address_is_fetched_once_into_torchs_cache(server, cache):
    folder, address = server
    source = tiny("resnet18")
    path = with_digest(source, folder, "resnet18")
    target = tiny("resnet18", seed=1)
    load_weights(target, f"{address}/{path.name}")
    assert same(target, source)
    assert (cache / path.name).exists()
    path.unlink()
    load_weights(tiny("resnet18", seed=1), f"{address}/{path.name}")  # from the cache


def test_a_date_in_a_name_is_no_digest(tmp_path):
    source, target = tiny("resnet18"), tiny("resnet18", seed=1)
    torch.save(source.state_dict(), tmp_path / "mine-20240115.pth")
    load_weights(target, tmp_path / "mine-20240115.pth")
    assert same(target, source)


def test_files_of_one_name_at_two_addresses_are_two_files(server, cache):
    folder, address = server
    for seed in (1, 2):
        (folder / str(seed)).mkdir()
        save_tensors(folder / str(seed) / "model.safetensors", tiny("resnet18", seed=seed).state_dict(), {})
    for seed in (1, 2):
        target = tiny("resnet18")
        load_weights(target, f"{address}/{seed}/model.safetensors")
        assert same(target, tiny("resnet18", seed=seed))


def test_a_run_at_an_address_brings_what_it_knew(server, cache, tmp_path):
    folder, address = server
    small = {"width": 0.125, "stem": "cifar", "epochs": 1, "examples": 20, "image_size": 8}
    run = didact.fit("resnet18", "digits", out=tmp_path / "run", **small)
    shutil.copy(run.directory / "model.safetensors", folder)
    there = find_weights(f"{address}/model.safetensors").knobs("resnet18")
    assert there == find_weights(run.directory).knobs("resnet18")
    assert there["model_args"]["width"] == 0.125


@pytest.mark.parametrize("content", [b"hello", b"a,b\n1,2\n", b"s", b"", b"<html>"])
def test_what_is_no_file_of_weights_is_refused_in_a_line(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(RunError, match=r"a.pth: not a file of weights that is safe to read"):
        load_weights(tiny("resnet18"), tmp_path / "a.pth")


def test_a_table_model_takes_no_images_weights(tmp_path):
    torch.save(tiny("resnet18").state_dict(), tmp_path / "own.pth")
    with pytest.raises(UsageError, match="a network for images is needed, mlp is none"):
        make_recipe("mlp", given={"weights": str(tmp_path / "own.pth")})


def test_a_download_that_fails_leaves_nothing(server, cache):
    folder, address = server
    with pytest.raises(RunError, match=r"cannot be downloaded .*404.*; put the file into"):
        find_weights(f"{address}/missing-01234567.pth")
    (folder / "wrong-01234567.pth").write_bytes(b"no weights")
    with pytest.raises(RunError, match=r"cannot be downloaded .*invalid hash value"):
        find_weights(f"{address}/wrong-01234567.pth")
    assert list(cache.iterdir()) == []


def test_published_weights_by_name_lie_in_torchs_cache(cache):
    cache.mkdir(parents=True)
    name = published_file("resnet18")
    (cache / name).write_bytes(b"from an earlier download")
    assert find_weights("imagenet", "resnet18").path == cache / name
    with pytest.raises(UsageError, match="imagenet: none are known for lenet5"):
        find_weights("imagenet", "lenet5")


def test_the_hub_reads_its_own_cache_offline(tmp_path):
    """In a process of its own, since the library reads its variables when it is imported."""
    pytest.importorskip("huggingface_hub", reason="pip install 'didact[hub]'")
    import subprocess
    import sys

    snapshot = tmp_path / "hub" / "models--someone--net" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    save_tensors(snapshot / "model.safetensors", tiny("resnet18").state_dict(), {})
    config = {
        "pretrained_cfg": {"input_size": [3, 240, 240], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1}
    }
    (snapshot / "config.json").write_text(json.dumps(config))
    code = (
        "from didact.train.weights import find_weights\n"
        "found = find_weights('hub:someone/net')\n"
        "knobs = found.knobs('resnet18')\n"
        "print(found.path.name, knobs['image_size'], knobs['mean'], knobs['crop'], len(found.read()))\n"
        "try: find_weights('hub:someone/other')\n"
        "except ValueError as error: print(type(error).__name__, 'cannot be had' in str(error))\n"
    )
    variables = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    out = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    count = len(tiny("resnet18").state_dict())
    assert out.stdout.splitlines() == [
        f"model.safetensors 240 (0.5, 0.5, 0.5) 1.0 {count}",
        "RunError True",
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.pth", "weights=nowhere.pth: no such file; name a file, a run"),
        ("hub:nobody", "weights=hub:nobody: write hub:OWNER/NAME|this needs: pip install"),
    ],
)
def test_what_is_no_source(source, message):
    with pytest.raises(DidactError, match=message):
        find_weights(source)


# How images are read


def test_every_published_file_is_of_the_catalogue():
    for file, (network, pixels) in FILES.items():
        assert find(network).inputs == ("image",)
        assert pixels.side < pixels.resize
        assert published_file(network)
        assert file.startswith(network.replace("-", "_")[:5])


def test_pixels_belong_to_the_weights():
    assert pixels_of("resnet50", "resnet50-0676ba61.pth").resize == 256
    assert pixels_of("resnet50", "resnet50-11ad3fa6.pth").resize == 232
    assert pixels_of("resnet50", "mine.pth").mean == (0.485, 0.456, 0.406)
    assert pixels_of("xception", "any.pth").mean == (0.5, 0.5, 0.5)
    assert pixels_of_config({"input_size": [3, 256, 256], "crop_pct": 0.95, "mean": [0, 0, 0]}).resize == 269


def test_googlenets_transform_of_inputs_is_its_mean():
    """torchvision standardises by ImageNet's numbers, then its network turns that into (x - 0.5) / 0.5."""
    x = torch.rand(3)
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    inside = (x - mean) / std * (std / 0.5) + (mean - 0.5) / 0.5
    pixels = pixels_of("googlenet", "googlenet-1378be20.pth")
    torch.testing.assert_close(inside, (x - torch.tensor(pixels.mean)) / torch.tensor(pixels.std))


def test_the_middle_is_cut_out_as_torchvision_does():
    """Resize the shorter side to 256, the other by floor, then cut 224 out at round((side - 224) / 2)."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 451, 3), dtype=np.uint8)
    resized = Image.fromarray(noise).resize((384, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[16:240, 80:304]
    assert np.array_equal(read_image(noise, 3, (224, 224), crop=224 / 256), expected)


def test_weights_decide_size_and_pixels_unless_the_user_does(tmp_path):
    path = tmp_path / "resnet18-f37072fd.pth"
    path.touch()
    recipe = make_recipe("resnet18", given={"weights": str(path), "image_size": 64})
    assert recipe.model_args == {}
    assert (recipe.image_size, recipe.channels, recipe.crop) == (64, 3, 0.875)
    assert recipe.mean == (0.485, 0.456, 0.406)
    assert recipe.origin["mean"] == f"weights {path}"
    assert recipe.origin["image_size"] == "command line"
    assert recipe.lr_scale == {"trunk": 0.1}
