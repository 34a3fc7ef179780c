"""The head of a classifier is found in every architecture, and replaced without a change to the trunk."""

import doctest

import pytest
import torch
from torch import nn

import didact
from didact.catalog import CATALOG
from didact.errors import UsageError
from didact.nn import head
from didact.nn.head import head_names, replace_head

CLASSIFIERS = [name for name, entry in CATALOG.items() if "classify" in entry.tasks]


def tiny(name: str) -> nn.Module:
    torch.manual_seed(0)
    return didact.build(name, **CATALOG[name].tiny)


def test_the_example_runs():
    results = doctest.testmod(head)
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_gets_a_new_head_on_its_own_trunk(name: str):
    model = tiny(name).eval()
    other = replace_head(model, 7)
    old, new, changed = model.state_dict(), other.state_dict(), set(head_names(model))
    assert not other.training
    assert all(new[key].shape[0] == 7 for key in changed)
    assert all(torch.equal(old[key], new[key]) for key in old.keys() - changed)
    assert old.keys() == new.keys()
    assert all(parameter.grad_fn is None for parameter in other.parameters())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("resnet50", {"fc"}),
        ("vgg16", {"classifier.6"}),
        ("googlenet", {"fc", "aux1.fc2", "aux2.fc2"}),
        ("densenet121", {"classifier"}),
        ("vit-b-16", {"heads.head"}),
        ("mlp", {"head"}),
    ],
)
def test_the_head_is_what_depends_on_the_classes(name: str, parts: set[str]):
    assert {key.rpartition(".")[0] for key in head_names(tiny(name))} == parts


def test_what_has_no_classes_has_no_head():
    assert head_names(tiny("lstm")) == []
    with pytest.raises(UsageError, match=r"^Sequential: it has no argument num_classes"):
        replace_head(nn.Sequential(nn.Linear(2, 2)), 3)
