"""The recipes of the papers: the numbers that the papers and the notes print, on networks of full size."""

import pytest

from didact.catalog import CATALOG
from didact.errors import UsageError
from didact.train.papers import PAPERS, paper_of
from didact.train.recipe import make_recipe

PUBLISHED = [
    name for name, entry in CATALOG.items() if entry.tasks == ("classify",) and entry.inputs == ("image",)
]
OURS = ("mnist-cnn", "cnn")  # networks of the notes, without a paper


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name not in OURS])
def test_every_image_classifier_has_the_recipe_of_its_paper(name: str):
    recipe = make_recipe(name, paper=True)
    assert recipe.model_args.keys() <= {"dropout"}  # the published size
    assert recipe.origin["lr"] == f"paper of {name}"
    assert any(name.startswith(network) for network in paper_of(name).networks)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("resnet50", {"momentum": 0.9, "lr": 0.1, "decay": 0.1, "schedule": "plateau", "batch_size": 256}),
        ("plain34", {"lr": 0.1}),
        ("wide-resnet50-2", {"batch_size": 256, "step_epochs": 30}),
        ("wrn28-10", {"batch_size": 128, "weight_decay": 0.0005, "nesterov": True}),
        ("alexnet-two-group", {"batch_size": 128, "weight_decay": 0.0005, "image_size": 227}),
        ("vgg19-bn", {"batch_size": 256, "lr": 0.01}),
        ("vit-l-16", {"batch_size": 4096, "weight_decay": 0.3, "clip_norm": 1.0}),
    ],
)
def test_the_numbers_of_the_papers(name: str, numbers: dict):
    recipe = make_recipe(name, paper=True)
    assert {key: getattr(recipe, key) for key in numbers} == numbers


def test_the_notes_weight_decay_is_one_setting_away():
    """They print 1e-5, the paper 1e-4."""
    assert make_recipe("resnet152", paper=True).weight_decay == 1e-4
    assert make_recipe("resnet152", paper=True, settings={"weight_decay": "1e-5"}).weight_decay == 1e-5


def test_each_paper_is_used_and_says_where_it_differs():
    for paper in PAPERS:
        assert paper.differs
        for network in paper.networks:
            assert any(name.startswith(network) and paper_of(name) is paper for name in CATALOG)


def test_no_paper_is_made_up():
    with pytest.raises(UsageError, match="no paper's recipe is known for lstm"):
        make_recipe("lstm", paper=True)
