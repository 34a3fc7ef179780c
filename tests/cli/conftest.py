"""The command line called in process, and one small trained run of every kind."""

import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from commands import Call, Said, fruit_rows, write_csv, write_images

import didact
from didact.cli.main import main


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command in this process: ``call("train", "mlp", stdin=b"...")``."""

    def run(*words: object, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs and their data lie."""
    return tmp_path_factory.mktemp("didact")


@pytest.fixture(scope="session")
def iris_run(home: Path) -> Path:
    """A table of numbers, classified; read only."""
    return didact.fit("softmax-regression", "iris", out=home / "iris", epochs=2).directory


@pytest.fixture(scope="session")
def fruit_run(home: Path) -> Path:
    """A table with a category, read from a CSV file; read only."""
    data = write_csv(home / "fruit.csv", ("colour", "weight", "fruit"), fruit_rows())
    return didact.fit("mlp", data, out=home / "fruit", epochs=2).directory


@pytest.fixture(scope="session")
def number_run(home: Path) -> Path:
    """A regression; read only."""
    return didact.fit("mlp", "diabetes", out=home / "diabetes", epochs=1).directory


@pytest.fixture(scope="session")
def image_run(home: Path) -> Path:
    """Images, classified; read only."""
    return didact.fit("mlp", write_images(home / "images"), out=home / "shades", epochs=2).directory


@pytest.fixture(scope="session")
def bag_run(home: Path) -> Path:
    """Texts, classified; read only."""
    said = {"the cat sat": "cats", "a dog ran": "dogs", "the cat slept": "cats", "the dog bit": "dogs"}
    rows = [(f"{text} {k}", label) for k, (text, label) in enumerate(list(said.items()) * 10)]
    data = write_csv(home / "pets.csv", ("text", "label"), rows)
    return didact.fit("softmax-regression", data, out=home / "pets", epochs=1).directory


@pytest.fixture(scope="session")
def prose(home: Path) -> Path:
    """A file of text."""
    path = home / "corpus.txt"
    path.write_text("the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 40)
    return path


@pytest.fixture(scope="session")
def text_run(home: Path, prose: Path) -> Path:
    """A language model; read only."""
    small = {"embedding_dim": 8, "hidden_dim": 8, "context": 16}
    return didact.fit("lstm", prose, out=home / "corpus", epochs=1, **small).directory


@pytest.fixture(scope="session")
def gan_run(home: Path) -> Path:
    """A game of two players; read only."""
    return didact.fit("gan", out=home / "gan", epochs=1, batch_size=2000).directory
