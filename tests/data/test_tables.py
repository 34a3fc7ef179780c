"""Tables: types found by reading, every broken cell named with its line."""

import pytest

from didact.data.formats.detect import read_path
from didact.data.open import open_data

HEADER = "height,colour,kind"
ROWS = [f"{i * i / 10},{('red', 'blue')[i // 2 % 2]},{('oak', 'elm')[i % 2]}" for i in range(20)]


@pytest.fixture
def write(tmp_path):
    def write(*lines, name="trees.csv", header=HEADER):
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
        return tmp_path / name

    return write


def fatal(raw):
    return [str(problem) for problem in raw.problems if problem.fatal]


def remarks(raw):
    return [str(problem) for problem in raw.problems if not problem.fatal]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table(write, delimiter):
    path = write(*(row.replace(",", delimiter) for row in ROWS), header=HEADER.replace(",", delimiter))
    raw = read_path(path)
    assert (raw.inputs, raw.target, raw.target_name, raw.problems) == ("table", "class", "kind", [])
    assert (raw.classes, raw.categories) == (("elm", "oak"), {"colour"})
    assert raw.parts["all"].items[3] == {"height": 0.9, "colour": "blue"}
    assert raw.parts["all"].place(3) == "trees.csv:5"
    data = open_data(path)
    assert data.facts.input_shape == (3,)
    assert data.facts.model_sizes() == {"in_features": 3, "num_classes": 2, "out_features": 2}


def test_a_target_by_name(write, refused):
    path = write(*ROWS)
    assert read_path(path, target="colour").classes == ("blue", "red")
    data = open_data(path, target="height")
    assert (data.facts.target, data.facts.target_name) == ("number", "height")
    assert float(data["train"].targets.mean()) == pytest.approx(0, abs=1e-5)
    refused(path, "no column 'colr'", "did you mean 'colour'", target="colr")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([str(i % 3 + 9) for i in range(30)], ("9", "10", "11")),
        ([f"{i % 2}.0" for i in range(30)], ("0", "1")),
        ([str(i % 2 - 0.5) for i in range(30)], ()),
        ([str(i) for i in range(30)], ()),
    ],
)
def test_few_integers_are_labels_and_other_numbers_a_quantity(write, targets, expected):
    raw = read_path(write(*(f"{i % 7}.5,{target}" for i, target in enumerate(targets)), header="x,y"))
    assert raw.classes == expected
    assert raw.target == ("class" if expected else "number")
    assert isinstance(raw.parts["all"].targets[0], str if expected else float)


def test_broken_cells_are_named_with_their_line_and_left_out(write, refused):
    bad = [
        "tall,red,oak",
        ",red,oak",
        "NA,red,oak",
        "nan,red,oak",
        "-inf,red,elm",
        "1e39,red,elm",
        "1,,elm",
        "1,red,",
        "1,red",
        "1,red,oak,elm",
    ]
    path = write(*ROWS * 3, "", '2,"red",oak', *bad)
    raw = read_path(path)
    assert fatal(raw) == [
        "trees.csv:72: 2 cells, but the header names 3 columns",
        "trees.csv:73: 4 cells, but the header names 3 columns",
        "trees.csv:64: column 'height': text in a numeric column: 'tall'",
        "trees.csv:65: column 'height': missing value",
        "trees.csv:66: column 'height': missing value ('NA')",
        "trees.csv:67: column 'height': not a finite number: 'nan'",
        "trees.csv:68: column 'height': not a finite number: '-inf'",
        "trees.csv:69: column 'height': not a finite number: '1e39'",
        "trees.csv:70: column 'colour': missing value",
        "trees.csv:71: column 'kind': missing value",
    ]
    assert len(raw) == 61
    assert raw.parts["all"].place(60) == "trees.csv:63"
    refused(path, "trees.csv:72", "9 more")
    assert sum(open_data(path, allow_bad=True).facts.sizes.values()) == 61


def test_lines_are_counted_as_an_editor_does(write):
    path = write('1,"a\nb",x', '2,"c, d",y', "3,e", header="n,text,k")
    raw = read_path(path)
    assert raw.parts["all"].items[0]["text"] == "a\nb"
    assert list(raw.parts["all"].places) == ["trees.csv:2", "trees.csv:4"]
    assert fatal(raw) == ["trees.csv:5: 2 cells, but the header names 3 columns"]


def test_suspicious_columns_are_remarked_and_an_empty_one_left_out(write):
    lines = [f"{i},7,,name {i},{i % 5},{i % 2}" for i in range(60)]
    raw = read_path(write(*lines, header="id,same,nothing,who,x,y"))
    assert fatal(raw) == []
    said = " ".join(remarks(raw))
    for part in (
        "'id': only numbers the rows",
        "'same': always 7",
        "'nothing': no value at all",
        "'who': 60 different texts",
    ):
        assert part in said
    assert list(raw.parts["all"].items[0]) == ["id", "same", "who", "x"]


def test_a_column_without_a_name_is_left_out(write):
    raw = read_path(write(*(f"{i},{row}" for i, row in enumerate(ROWS)), header="," + HEADER))
    assert list(raw.parts["all"].items[0]) == ["height", "colour"]
    assert remarks(raw) == ["trees.csv:1: a column without a name is left out"]


@pytest.mark.parametrize(
    ("header", "lines", "part"),
    [
        ("5.1,3.5,setosa", ["4.9,3.0,setosa"], "the first line must name the columns"),
        ("5,116,74", ["3,78,50"], "the first line must name the columns"),
        ("a,b,a", ["1,2,3"], "two columns are called 'a'"),
        ("a,b,c", [], "no rows"),
        ("", [], "the first line must name the columns"),
        ("a,b", ['1,"open'], "trees.csv:2: a row that cannot be read"),
        ("kind", ["oak", "elm"], "no column beside 'kind'"),
        ("a,b", ["1,", "2,"], "'b', which is to be predicted, is empty"),
        ("a,b", ["1,x", "2,x", "3,x", "4,x"], "only one class, 'x'"),
    ],
)
def test_a_table_that_is_none(write, header, lines, part, refused):
    refused(write(*lines, header=header), part)


def test_a_table_that_is_not_utf_8(write, tmp_path, refused):
    write(*ROWS)
    (tmp_path / "trees.csv").write_bytes(b"a,b\n1,caf\xe9\n")
    refused(tmp_path / "trees.csv", "trees.csv:2: byte 0xe9 at offset 9 is not UTF-8")


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "trees.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([HEADER, *ROWS]).encode())
    raw = read_path(path)
    assert raw.problems == []
    assert list(raw.parts["all"].items[0]) == ["height", "colour"]
    assert raw.parts["all"].place(1) == "trees.csv:3"


def test_files_of_splits(write, tmp_path, refused):
    write(*ROWS[:12], name="train.csv")
    write(*ROWS[12:16], name="val.csv")
    write(*ROWS[16:], name="test.csv")
    data = open_data(tmp_path)
    assert data.facts.sizes == {"train": 12, "val": 4, "test": 4}
    assert data.raw["val"].place(0) == f"{tmp_path.name}/val.csv:2"
    write(ROWS[0], *ROWS[16:], name="test.csv")
    refused(tmp_path, "train.csv:2: the same row as", "test.csv:2, in the test split")
    assert open_data(tmp_path, allow_bad=True).facts.sizes == {"train": 11, "val": 4, "test": 5}
    write("1,red", name="test.csv", header="height,colour")
    refused(tmp_path, "test.csv lacks column 'kind'")


def test_a_column_of_splits(write, refused):
    words = ["train"] * 12 + ["valid"] * 4 + ["Test"] * 4
    path = write(*(f"{row},{word}" for row, word in zip(ROWS, words, strict=True)), header=HEADER + ",split")
    data = open_data(path)
    assert data.facts.sizes == {"train": 12, "val": 4, "test": 4}
    assert data.facts.target_name == "kind"
    assert [column.name for column in data.facts.columns] == ["height", "colour"]
    path.write_text(path.read_text().replace("Test", "later"))
    refused(path, "trees.csv:18: column 'split': 'later' is none of train, val and test")


def test_one_table_in_a_folder_is_that_table(write, tmp_path):
    write(*ROWS)
    assert sum(open_data(tmp_path, folds=4, fold=1).facts.sizes.values()) == 20
