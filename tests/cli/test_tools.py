"""What needs no training: models, data, report, compare, syllabus."""

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Call, contents, fruit_rows, refused, write_csv, write_images

import didact
from didact.catalog import CATALOG
from didact.data.embedded import EMBEDDED
from didact.syllabus import search
from didact.syllabus.search import Concept


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r" {2,}", line.strip())


# models


def test_models_lists_size_source_and_where_the_code_is(call: Call):
    said = call("models")
    assert (said.code, said.err) == (0, "")
    heading, *rows = said.out.splitlines()
    assert cells(heading) == ["model", "parameters", "learns to", "takes", "data", "about", "source", "code"]
    assert [cells(row)[0] for row in rows] == list(CATALOG)
    for row in rows:
        name, size, *_, source, code = cells(row)
        entry = CATALOG[name]
        assert (size, source, code) == (f"{entry.parameters:,}", entry.source, entry.target)
    assert not any(line.endswith(" ") for line in said.out.splitlines())


def test_models_of_one_task(call: Call):
    rows = call("models", "--task", "language").out.splitlines()[1:]
    assert [cells(row)[0] for row in rows] == [n for n, e in CATALOG.items() if "language" in e.tasks]
    assert json.loads(call("models", "--task", "regress", "--json").out).keys() == {"mlp"}


def test_models_json(call: Call):
    listed = json.loads(call("models", "--json").out)
    assert listed.keys() == CATALOG.keys()
    lenet = listed["lenet5"]
    assert (lenet["parameters"], lenet["tasks"]) == (61_706, ["classify"])
    assert lenet["code"] == "didact.models.cnn.lenet:LeNet5"
    assert lenet["recipe"]["augment"] == ["shift:3", "noise:0.2"]


@pytest.mark.parametrize("name", CATALOG)
def test_one_model_with_its_arguments_and_its_file(call: Call, name: str):
    said = call("models", name.upper().replace("-", "_"))
    entry = CATALOG[name]
    assert (said.code, said.err) == (0, "")
    shown = dict(cells(line) for line in said.out.split("\n\n")[0].splitlines())
    file, line = shown["code"].rsplit(":", 1)
    source = Path(file).read_text().splitlines()
    assert source[int(line) - 1].startswith(f"class {entry.target.split(':')[1]}(")
    assert (shown["model"], shown["about"], shown["source"]) == (name, entry.about, entry.source)
    one = json.loads(call("models", name, "--json").out)
    decided = "from the data" in one["arguments"].values()
    assert shown["parameters"] == f"{entry.parameters:,}" + (f" on {entry.data}" if decided else "")
    assert (one["model"], one["file"]) == (name, shown["code"])
    for argument in one["arguments"]:
        assert re.search(rf"^  {argument}=.+  \S", said.out, re.M), f"{argument} is not explained"


# data


def test_data_lists_what_is_embedded(call: Call):
    said = call("data")
    assert (said.code, said.err) == (0, "")
    assert [cells(line) for line in said.out.splitlines()] == [
        ["data", "task", "about"],
        *([name, entry.task, entry.about] for name, entry in EMBEDDED.items()),
    ]
    assert json.loads(call("data", "--json").out).keys() == EMBEDDED.keys()


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_set_is_sound_and_some_model_learns_it(call: Call, name: str):
    said = call("data", name)
    assert (said.code, said.err) == (0, "")
    shown = dict(cells(line) for line in said.out.splitlines() if not line.startswith("for example"))
    assert (shown["data"], shown["about"]) == (name, EMBEDDED[name].about)
    models = shown["learned by"].split(", ")
    assert models == [m for m, e in CATALOG.items() if m in models]
    assert [m for m, e in CATALOG.items() if e.data == name and m not in models] == []


def test_data_of_a_table(call: Call, tmp_path: Path):
    table = write_csv(tmp_path / "fruit.csv", ("fruit", "weight", "colour"), [r[::-1] for r in fruit_rows()])
    said = call("data", table, "--target", "fruit")
    assert (said.code, said.err) == (0, "")
    for line in (
        "one example    a row of 2 columns, 3 numbers to the model",
        "to learn       fruit, one of 3",
        "learned by     softmax-regression, mlp",
        "examples       train 18, val 6, test 6",
        "column weight  number",
        "column colour  2 categories",
        "class cherry   train 6, val 2, test 2",
    ):
        assert f"{line}\n" in said.out
    assert re.search(r"^for example    weight 150.0, colour red -> apple$", said.out, re.M)
    card = json.loads(call("data", table, "--json").out)
    assert (card["target_name"], card["sizes"]) == ("colour", {"train": 18, "val": 6, "test": 6})


def test_data_of_images(call: Call, tmp_path: Path):
    said = call("data", write_images(tmp_path / "shades"))
    assert (said.code, said.err) == (0, "")
    assert "one example  an image of 8 x 8 pixels, grey\n" in said.out
    assert "picture" not in call("data", tmp_path / "shades", "--json").out


def test_data_of_a_broken_folder_lists_every_file(call: Call, tmp_path: Path):
    folder = write_images(tmp_path / "shades")
    (folder / "dark" / "0.png").write_bytes(b"no image")
    (folder / "light" / "1.png").write_bytes(b"")
    (folder / "light" / "notes.txt").write_text("a note")
    said = call("data", folder)
    assert said.code == 1
    assert "class light  train 3" in said.out
    wrong = [line for line in said.err.splitlines() if line.startswith("wrong: ")]
    assert [line.split(": ")[1] for line in wrong] == ["shades/dark/0.png", "shades/light/1.png"]
    assert "note: shades/light/notes.txt: not read" in said.err
    assert said.err.endswith(f"2 wrong in {folder}: mend it, or train with --allow-bad\n")
    assert len(json.loads(call("data", folder, "--json").out)["problems"]) == 3
    assert call("train", "mlp", "--data", folder, "--out", tmp_path / "run", "--quiet").code == 1
    assert not (tmp_path / "run").exists()


def test_data_of_a_broken_table_names_file_and_line(call: Call, tmp_path: Path):
    rows = fruit_rows()
    rows[3], rows[7] = ("red", "heavy", "apple"), ("red", "", "banana")
    said = call("data", write_csv(tmp_path / "fruit.csv", ("colour", "weight", "fruit"), rows))
    assert said.code == 1
    assert "wrong: fruit.csv:5: column 'weight': text in a numeric column: 'heavy'\n" in said.err
    assert "wrong: fruit.csv:9: column 'weight': missing value\n" in said.err


def test_data_of_which_nothing_is_sound(call: Call, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    said = call("data", tmp_path)
    assert (said.code, said.out) == (1, "")
    assert "a/1.png: not an image" in said.err
    assert "Traceback" not in said.err


def test_data_of_nothing(call: Call, tmp_path: Path):
    refused(call("data", tmp_path), 1, str(tmp_path))
    (tmp_path / "archive.zip").write_bytes(b"PK")
    refused(call("data", tmp_path / "archive.zip"), 1, "archive.zip", "what is read:")


# report


def test_report_writes_the_page_again(call: Call, tmp_path: Path, iris_run: Path):
    run = Path(shutil.copytree(iris_run, tmp_path / "run"))
    (run / "report.html").unlink()
    said = call("report", run)
    assert (said.code, said.out, said.err) == (0, f"{run / 'report.html'}\n", "")
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    assert json.loads(call("report", run, "--json").out) == {"report": str(run / "report.html")}


# compare


@pytest.fixture(scope="module")
def slower_run(home: Path) -> Path:
    return didact.fit("softmax-regression", "iris", out=home / "slower", epochs=3, lr=0.01).directory


def test_compare_shows_scores_costs_and_what_differs(call: Call, iris_run: Path, slower_run: Path):
    said = call("compare", iris_run, slower_run)
    assert (said.code, said.err) == (0, "")
    rows = {line.split("  ")[0]: cells(line)[1:] for line in said.out.splitlines()[1:]}
    assert cells(said.out.splitlines()[0]) == ["iris", "slower"]
    assert rows["lr"] == ["0.1", "0.01"]
    assert rows["epochs"][-2:] == ["2", "3"]
    assert "test accuracy" in rows
    both = json.loads(call("compare", iris_run, slower_run, "--json").out)
    assert both["knobs"]["lr"] == [0.1, 0.01]
    assert [len(history) for history in both["histories"]] == [2, 3]


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_compare_draws(
    call: Call, tmp_path: Path, iris_run: Path, slower_run: Path, suffix: str, start: bytes
):
    picture = tmp_path / f"curves{suffix}"
    assert call("compare", iris_run, slower_run, "--plot", picture).code == 0
    assert picture.read_bytes().startswith(start)


def test_compare_refuses_what_is_not_fair(call: Call, iris_run: Path, gan_run: Path):
    refused(call("compare", iris_run, gan_run), 1, "saw different data", "do not compare")


def test_compare_refuses_what_is_not_finished(call: Call, tmp_path: Path, iris_run: Path):
    run = Path(shutil.copytree(iris_run, tmp_path / "run"))
    (run / "results.json").unlink()
    before = contents(run)
    refused(call("compare", iris_run, run), 1, "is not finished", f"didact train --resume {run}")
    assert contents(run) == before


# syllabus


@pytest.fixture
def concepts(monkeypatch: pytest.MonkeyPatch) -> tuple[Concept, ...]:
    """Seven concepts."""
    made = (
        Concept(
            "dropout",
            "Dropout",
            covers=("a:12",),
            code=("didact.models.linear.mlp:MLP",),
            tests=("tests/models/test_mlp.py::test_dropout",),
            run="didact train mlp --set dropout=0.2",
        ),
        *(Concept(f"layer-{k}", f"Layer number {k}", docs=(f"layers.md#{k}",)) for k in range(6)),
    )
    monkeypatch.setattr(search, "concepts", lambda: made)
    return made


def test_syllabus_shows_a_concept_in_full(call: Call, concepts: tuple[Concept, ...]):
    said = call("syllabus", "Dropout")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{concepts[0]}\n"
    for part in (*concepts[0].code, *concepts[0].tests, concepts[0].run):
        assert part in said.out


@pytest.mark.parametrize("words", [(), ("layer",), ("layer", "number")])
def test_syllabus_lists_many_in_a_table(call: Call, concepts: tuple[Concept, ...], words: tuple[str, ...]):
    heading, *rows = call("syllabus", *words).out.splitlines()
    assert cells(heading) == ["concept", "what", "code", "run"]
    assert [cells(row)[0] for row in rows] == [c.id for c in concepts if not words or "layer" in c.id]


def test_syllabus_json(call: Call, concepts: tuple[Concept, ...]):
    listed = json.loads(call("syllabus", "--json").out)
    assert [concept["id"] for concept in listed] == [concept.id for concept in concepts]
    assert listed[0]["run"] == concepts[0].run


@pytest.mark.usefixtures("concepts")
def test_syllabus_of_what_is_not_taught(call: Call):
    refused(call("syllabus", "zebra"), 1, "nothing in the syllabus about 'zebra'", "didact syllabus lists")


# transfer


def test_transfer_says_what_to_train_again_and_draws_the_map(call: Call, tmp_path: Path):
    small = {"width": 0.125, "stem": "cifar", "epochs": 1, "examples": 100, "image_size": 16}
    run = didact.fit("resnet18", "digits", out=tmp_path / "run", **small).directory
    said = call("transfer", "resnet18", "--weights", run, "--data", "digits", "--plot", tmp_path / "map.svg")
    assert (said.code, said.err) == (0, "")
    rows = [cells(line)[0] for line in said.out.splitlines()]
    assert rows[:3] == ["same kind of input", "more data before", "useful features"]
    assert rows[3:] == ["size", "similarity", "advice", "command"]
    assert "your data" in (tmp_path / "map.svg").read_text()
    found = json.loads(call("transfer", "resnet18", "--weights", run, "--data", "digits", "--json").out)
    assert found["command"] in said.out
    refused(
        call("transfer", "resnet18", "--weights", run, "--data", "digits", "--plot", "map.gif"), 2, "map.gif"
    )
    refused(call("transfer", "resnet50", "--weights", run, "--data", "digits"), 2, "these are of resnet18")
    refused(call("transfer", "resnet18", "--weights", "nowhere.pth", "--data", "digits"), 2, "nowhere.pth")
