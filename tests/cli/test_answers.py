"""What a trained model is asked: evaluate, predict, generate."""

import json
import shutil
from pathlib import Path

import pytest
from commands import FLOWERS, IRIS, Call, contents, fruit_rows, refused, write_csv
from PIL import Image

import didact
from didact.train.run import load

# evaluate


def test_evaluate_scores_the_validation_split(call: Call, iris_run: Path):
    said = call("evaluate", iris_run)
    assert (said.code, said.err) == (0, "")
    heading, *rows = (line.split() for line in said.out.splitlines())
    assert heading == ["number", "val"]
    expected = load(iris_run).scores["val"]
    assert dict(rows) == {name: f"{value:.4f}" for name, value in expected.items()}
    assert json.loads(call("evaluate", iris_run, "--json").out) == pytest.approx(expected)


def test_evaluate_scores_the_training_split(call: Call, iris_run: Path):
    assert call("evaluate", iris_run, "--split", "train").out.split()[:2] == ["number", "train"]


def test_a_second_look_at_the_test_split_is_refused(call: Call, iris_run: Path):
    before = contents(iris_run)
    said = call("evaluate", iris_run, "--split", "test")
    refused(said, 2, "a second look spoils it", "--again", load(iris_run).headline())
    assert contents(iris_run) == before


def test_a_second_look_is_counted(call: Call, tmp_path: Path, iris_run: Path):
    run = Path(shutil.copytree(iris_run, tmp_path / "run"))
    said = call("evaluate", run, "--split", "test", "--again", "--json")
    assert json.loads(said.out) == pytest.approx(load(run).scores["test"])
    assert json.loads((run / "results.json").read_text())["test_looks"] == 2


def test_evaluate_other_data(call: Call, tmp_path: Path, fruit_run: Path):
    rows = [(*row, "note") for row in fruit_rows(9)]
    table = write_csv(tmp_path / "new.csv", ("colour", "weight", "fruit", "remark"), rows)
    said = call("evaluate", fruit_run, "--data", table, "--json")
    assert said.code == 0, said.err
    assert 0 <= json.loads(said.out)["accuracy"] <= 1


def test_evaluate_other_data_without_the_column(call: Call, tmp_path: Path, fruit_run: Path):
    table = write_csv(tmp_path / "new.csv", ("colour", "fruit"), [(r[0], r[2]) for r in fruit_rows(9)])
    refused(call("evaluate", fruit_run, "--data", table), 1, "'weight'")


def test_evaluate_refuses_broken_data(call: Call, tmp_path: Path, fruit_run: Path):
    rows = fruit_rows(9)
    rows[4] = ("red", "heavy", "cherry")
    table = write_csv(tmp_path / "new.csv", ("colour", "weight", "fruit"), rows)
    refused(call("evaluate", fruit_run, "--data", table), 1, "new.csv:6", "'weight'", "'heavy'")


# predict


def flowers(path: Path, *more: str, names: tuple[str, ...] = IRIS) -> Path:
    return write_csv(path, [*names, *more], [[*FLOWERS[kind], *more] for kind in FLOWERS])


def test_predict_from_a_table(call: Call, tmp_path: Path, iris_run: Path):
    table = flowers(tmp_path / "new.csv")
    said = call("predict", iris_run, table)
    assert (said.code, said.err) == (0, "")
    answers = load(iris_run).predict([dict(zip(IRIS, row, strict=True)) for row in FLOWERS.values()])
    assert said.out.splitlines() == [
        f"{table}:{line}  {answer['class']}  {answer['probability']:.1%}"
        for line, answer in enumerate(answers, 2)
    ]


def test_predict_needs_no_target_and_passes_other_columns_over(call: Call, tmp_path: Path, iris_run: Path):
    plain = call("predict", iris_run, flowers(tmp_path / "new.csv")).out
    assert call("predict", iris_run, flowers(tmp_path / "new.csv", "species", "garden")).out == plain


def test_predict_reads_a_table_as_training_does(call: Call, tmp_path: Path, fruit_run: Path):
    plain = write_csv(tmp_path / "t.csv", ("colour", "weight"), [("red", 9), ("yellow", 119)])
    expected = call("predict", fruit_run, plain).out
    odd = "\ufeff weight ;colour\n\n9 ; red\n119; yellow\n"
    (tmp_path / "t.csv").write_text(odd, encoding="utf-8")
    said = call("predict", fruit_run, tmp_path / "t.csv")
    assert (said.err, said.out) == ("", expected.replace(":3", ":4").replace(":2", ":3"))
    (tmp_path / "t.jsonl").write_text('{"colour": "red", "weight": 9}\n{"weight": 119, "colour": "yellow"}\n')
    lines = call("predict", fruit_run, tmp_path / "t.jsonl").out.splitlines()
    for line, other in zip(lines, expected.splitlines(), strict=True):
        assert line.split("  ")[1:] == other.split("  ")[1:]


def test_predict_from_standard_input(call: Call, tmp_path: Path, iris_run: Path):
    table = flowers(tmp_path / "new.csv")
    expected = call("predict", iris_run, table).out.replace(str(table), "-")
    assert call("predict", iris_run, stdin=table.read_bytes()).out == expected
    assert call("predict", iris_run, "-", stdin=table.read_bytes()).out == expected


def test_predict_json_is_an_object_a_line(call: Call, tmp_path: Path, iris_run: Path):
    table = flowers(tmp_path / "new.csv")
    answers = [json.loads(line) for line in call("predict", iris_run, table, "--json").out.splitlines()]
    assert [answer["input"] for answer in answers] == [f"{table}:2", f"{table}:3"]
    assert set(answers[0]["best"]) == {"setosa", "versicolor", "virginica"}
    assert answers[0]["class"] == max(answers[0]["best"], key=answers[0]["best"].get)


def test_predict_says_which_column_is_missing(call: Call, tmp_path: Path, iris_run: Path):
    table = flowers(tmp_path / "new.csv", names=(*IRIS[:3], "petal widht (cm)"))
    refused(call("predict", iris_run, table), 1, str(table), f"no column '{IRIS[3]}'", IRIS[0])


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("wide", "text in a numeric column: 'wide'"),
        ("", "missing value"),
        ("?", "missing value"),
        ("nan", "not a finite number"),
        ("1e99", "not a finite number"),
    ],
)
def test_predict_says_where_a_number_is_none(
    call: Call, tmp_path: Path, iris_run: Path, cell: str, what: str
):
    table = write_csv(tmp_path / "new.csv", IRIS, [FLOWERS["setosa"], (6.3, 3.3, cell, 2.5)])
    refused(call("predict", iris_run, table), 1, f"{table}:3: column '{IRIS[2]}': {what}")


def test_predict_notes_a_category_that_training_never_saw(call: Call, tmp_path: Path, fruit_run: Path):
    table = write_csv(tmp_path / "new.csv", ("colour", "weight"), [("red", 150), ("mauve", 150)])
    said = call("predict", fruit_run, table)
    assert said.code == 0
    assert said.err == f"note: {table}:3: column 'colour': training never saw 'mauve'\n"
    assert len(said.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("colour,weight\n", "no example in it"),
        ("colour,weight\nred\n", "1 cells"),
        ('colour,weight\n"red', "quote"),
    ],
)
def test_predict_from_a_file_that_is_no_table(
    call: Call, tmp_path: Path, fruit_run: Path, text: str, what: str
):
    (tmp_path / "new.csv").write_text(text)
    refused(call("predict", fruit_run, tmp_path / "new.csv"), 1, "new.csv", what)


def test_predict_a_number(call: Call, tmp_path: Path, number_run: Path):
    columns = [column.name for column in load(number_run).facts.columns]
    table = write_csv(tmp_path / "new.csv", columns, [[50, 1, 23, 101, 192, 125, 40, 5, 4.3, 80]])
    said = call("predict", number_run, table, "--json")
    answer = json.loads(said.out)
    assert answer.keys() == {"input", "progression"}
    assert call("predict", number_run, table).out == f"{table}:2  {answer['progression']:.4g}\n"


def test_predict_images(call: Call, image_run: Path, home: Path):
    files = [home / "images" / "dark" / "0.png", home / "images" / "light" / "1.png"]
    answers = load(image_run).predict(files)
    said = call("predict", image_run, *files)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"{file}  {answer['class']}  {answer['probability']:.1%}"
        for file, answer in zip(files, answers, strict=True)
    ]
    parsed = [json.loads(line) for line in call("predict", image_run, *files, "--json").out.splitlines()]
    assert parsed == [{"input": str(f)} | a for f, a in zip(files, answers, strict=True)]


def test_predict_a_folder_and_standard_input(call: Call, image_run: Path, home: Path):
    folder = home / "images"
    said = call("predict", image_run, folder, "-", stdin=(folder / "dark" / "0.png").read_bytes())
    lines = said.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [*map(str, sorted(folder.rglob("*.png"))), "-"]
    assert lines[-1].split("  ")[1:] == lines[0].split("  ")[1:]


def test_predict_many_images_in_several_goes(call: Call, image_run: Path, home: Path, monkeypatch):
    whole = call("predict", image_run, home / "images").out
    monkeypatch.setattr("didact.cli.predict.TOGETHER", 5)
    assert call("predict", image_run, home / "images").out == whole


@pytest.mark.parametrize("how", ["missing", "corrupt", "cut off", "standard input", "empty folder"])
def test_predict_names_the_image_that_does_not_decode(call: Call, tmp_path: Path, image_run: Path, how: str):
    file = tmp_path / "seven.png"
    Image.new("L", (64, 64)).save(file)
    if how == "missing":
        refused(call("predict", image_run, tmp_path / "six.png"), 1, f"{tmp_path / 'six.png'}: no such file")
    elif how == "empty folder":
        file.unlink()
        refused(call("predict", image_run, tmp_path), 1, f"{tmp_path}: no example in it")
    elif how == "standard input":
        refused(call("predict", image_run, stdin=b"GIF89a no"), 1, "standard input: not an image")
    else:
        data = file.read_bytes()
        file.write_bytes(b"no image" if how == "corrupt" else data[: len(data) // 2])
        refused(call("predict", image_run, file), 1, f"{file}: not an image that can be decoded")


def test_predict_texts(call: Call, tmp_path: Path, bag_run: Path):
    (tmp_path / "new.txt").write_text("the cat sat\n\nthe dog ran\r\n")
    answers = load(bag_run).predict(["the cat sat", "the dog ran"])
    places = [f"{tmp_path / 'new.txt'}:1", f"{tmp_path / 'new.txt'}:3"]
    said = call("predict", bag_run, tmp_path / "new.txt", "--json")
    parsed = [json.loads(line) for line in said.out.splitlines()]
    assert parsed == [{"input": p} | a for p, a in zip(places, answers, strict=True)]
    lines = call("predict", bag_run, stdin=b"the cat sat").out
    assert lines == f"-:1  {answers[0]['class']}  {answers[0]['probability']:.1%}\n"


def test_predict_the_next_character(call: Call, text_run: Path):
    said = call("predict", text_run, "--json", stdin=b"the quick brown fo\nt\n")
    first, second = (json.loads(line) for line in said.out.splitlines())
    assert first["next"] == max(first["best"], key=first["best"].get)
    assert (first["input"], second["input"]) == ("-:1", "-:2")
    assert call("predict", text_run, stdin=b"t\n").out == f"-:1  next {second['next']!r}\n"


def test_predict_from_what_is_no_text(call: Call, tmp_path: Path, text_run: Path):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    refused(call("predict", text_run, tmp_path / "latin.txt"), 1, "latin.txt", "UTF-8")
    refused(call("predict", text_run, stdin=b"caf\xe9"), 1, "standard input", "UTF-8")
    refused(call("predict", text_run, tmp_path), 1, f"{tmp_path}: a folder, not a file")
    refused(call("predict", text_run, tmp_path / "none.txt"), 1, "none.txt: no such file")
    refused(call("predict", text_run, stdin=b"\n"), 1, "-: no example in it")


def test_predict_asks_a_generator_in_vain(call: Call, gan_run: Path):
    refused(call("predict", gan_run), 2, "didact generate")


# generate


def test_a_language_model_writes_on(call: Call, text_run: Path):
    said = call("generate", text_run, "--prompt", "the quick", "--length", "30")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("the quick")
    assert len(said.out) == len("the quick") + 30 + 1
    same = call("generate", text_run, "--prompt=the quick", "--length", "30", "--json")
    assert json.loads(same.out)["text"] == said.out[:-1]
    other = call("generate", text_run, "--prompt=the quick", "--length", "30", "--seed", "1")
    assert other.out != said.out


def test_a_cold_language_model_takes_the_likeliest(call: Call, text_run: Path):
    nine = ("generate", text_run, "--length", "9")
    cold = [call(*nine, "--temperature", "0", "--seed", seed).out for seed in (0, 1)]
    assert cold[0] == cold[1] == call(*nine, "--top-k", "1", "--seed", "2").out


def test_a_generator_draws(call: Call, gan_run: Path):
    said = call("generate", gan_run, "--count", "3")
    drawn = json.loads(call("generate", gan_run, "--count", "3", "--json").out)["samples"]
    assert [[float(value) for value in line.split()] for line in said.out.splitlines()] == [
        pytest.approx(row, abs=1e-6) for row in drawn
    ]
    assert len(call("generate", gan_run).out.splitlines()) == 10
    assert call("generate", gan_run, "--seed", "1").out != call("generate", gan_run).out


def test_generate_refuses_what_says_nothing_to_the_model(call: Call, gan_run: Path, text_run: Path):
    refused(call("generate", gan_run, "--prompt", "x"), 2, "--prompt: this model draws samples; leave it out")
    refused(call("generate", text_run, "--count", "3"), 2, "--count: this model writes text; leave it out")
    refused(call("generate", gan_run, "--top-k", "3"), 2, "--top-k")
    refused(call("generate", gan_run, "--count", "0"), 2, "count=0", "at least 1")
    refused(call("generate", text_run, "--length", "-3"), 2, "length=-3")
    refused(call("generate", text_run, "--temperature", "nan"), 2, "temperature=nan")
    refused(call("generate", text_run, "--temperature", "inf"), 2, "temperature=inf")


def test_generate_asks_a_classifier_in_vain(call: Call, iris_run: Path):
    refused(call("generate", iris_run), 2, "softmax-regression learned to classify", "didact predict")


def test_python_and_the_command_line_agree(call: Call, iris_run: Path):
    run = didact.load(iris_run)
    assert run.evaluate("val") == json.loads(call("evaluate", iris_run, "--json").out)


@pytest.mark.parametrize("kind", ["text", "image", "bag", "gan"])
def test_evaluate_other_data_of_every_kind(
    call: Call, tmp_path: Path, kind: str, home: Path, request: pytest.FixtureRequest
):
    run = request.getfixturevalue(f"{kind}_run")
    named = {"text": "corpus.txt", "image": "images", "bag": "pets.csv"}
    said = call("evaluate", run, "--data", home / named[kind] if kind in named else "gaussian", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out).keys() == load(run).scores["val"].keys()


def test_evaluate_other_data_of_another_kind(call: Call, prose: Path, iris_run: Path, image_run: Path):
    refused(call("evaluate", image_run, "--data", prose), 1, "holds tokens examples", "trained on image")
    refused(call("evaluate", iris_run, "--data", "wine"), 2, "'species'", "'grower'")
