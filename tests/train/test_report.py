"""The report: whole, self-contained, escaped, the same bytes each time, readable before a run is finished."""

import json
import math
import shutil
from html.parser import HTMLParser

import pytest
from scipy.stats import binomtest

import didact
from didact.catalog import CATALOG
from didact.errors import RunError
from didact.tasks.exhibits import Mistake, Mistakes
from didact.train.recipe import knob_docs, recipe_types
from didact.train.report import report_page, write_report
from didact.train.run import Run
from didact.train.words import count, duration, number, setting, wilson

EVIL = '<script>alert("1")</script>'
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Reads a page strictly: every element that opens must close, in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text, self.headings, self.ids, self.links = [], set(), "", [], [], []
        self.images, self.events = [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        values = dict(attributes)
        self.tags.add(tag)
        self.text += " " if tag in ("td", "h1", "p") else ""
        self.links += [values[name] for name in ("src", "href", "data", "action", "srcset") if name in values]
        self.events += [name for name in names if name.startswith("on")]
        self.images += [values["alt"]] if tag == "img" else []
        self.ids += [values["id"]] if "id" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("report") / "iris"
    return didact.fit("mlp", "iris", out=directory, epochs=30, lr=0.01, widths=(8,))


@pytest.fixture
def copy(run, tmp_path):
    """The run again, to be damaged."""
    shutil.copytree(run.directory, tmp_path / "copy")
    return Run(tmp_path / "copy")


def change(run, file, **values):
    path = run.directory / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_training_writes_the_report(run):
    assert run.report.read_text() == report_page(run)


def test_every_section_in_order(run):
    page = Page(report_page(run))
    assert page.headings == [
        "Learning curves",
        "Diagnosis",
        "Scores",
        "Confusion matrix",
        "Worst mistakes",
        "Data",
        "Recipe",
        "Cost",
        "Environment",
    ]
    assert len(page.ids) == len(set(page.ids))
    assert [f"#{name}" for name in page.ids] == [link for link in page.links if link.startswith("#")]


def test_it_says_what_matters(run):
    text = " ".join(Page(report_page(run)).text.split())
    test, val = run.scores["test"], run.scores["val"]
    right = round(test["accuracy"] * 30)
    for words in [
        "mlp on iris",
        f"{test['accuracy']:.4f}",
        "test accuracy",
        f"right class for {right} of 30 test",
        "commonest class would be right for 10",
        f"{val['loss']:.4f}",
        f"{test['macro_f1']:.4f}",
        "scored once, after training had ended",
        "30 epochs",
        "versicolor",
        "sepal length (cm)",
        "the raw training curve, a point for each update",
        "exponential moving average",
        "Neurons of each hidden layer, first to last",
        "widths 8 call",
        "lr 0.01 call",
        "optimizer adam default of mlp",
        "left at the default",
        run.facts.fingerprint,
        str(run.results["cost"]["parameters"]),
        didact.__version__,
    ]:
        assert words in text, words


def test_chosen_knobs_come_before_defaults(run):
    text = Page(report_page(run)).text
    places = [
        text.index(knob)
        for knob in (
            "Passes over the training split",
            "torch's optimizer",
            "Decides the split, the initial weights",
        )
    ]
    assert places == sorted(places)  # chosen by the call, by the model's recipe, by nobody


def test_nothing_is_asked_of_the_network_and_no_script_runs(run):
    html = report_page(run)
    page = Page(html)
    assert "script" not in page.tags
    assert not page.events
    assert not page.tags & {"iframe", "object", "embed", "form", "base", "video", "audio"}
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert all(page.images), "every picture says in words what it shows"


def test_the_same_bytes_each_time(run):
    first = run.report.read_bytes()
    assert write_report(run) == run.report
    assert run.report.read_bytes() == first
    write_report(Run(run.directory))
    assert run.report.read_bytes() == first


def test_neither_data_nor_model_is_needed(run, copy):
    for name in ("model.safetensors", "state.safetensors", "report.html"):
        (copy.directory / name).unlink()
    assert write_report(copy).read_bytes() == run.report.read_bytes()


def test_everything_of_the_user_is_escaped(copy):
    place = '"><img src=x onerror=alert(1)>\ud800'
    change(copy, "facts.json", classes=[EVIL, "b&amp;", "$c$"], name=EVIL)
    change(copy, "environment.json", command=f"didact train {EVIL}")
    card = json.loads((copy.directory / "data.json").read_text())
    change(
        copy,
        "data.json",
        about=EVIL,
        target_name=EVIL,
        problems=[f"{place}: {EVIL}"],
        classes={EVIL: card["classes"]["setosa"]},
        columns={EVIL: EVIL},
        examples=[
            {"label": EVIL, "place": place, "text": EVIL},
            {"label": "x", "place": "y", "picture": 'https://example.org/"><script>'},
        ],
    )
    mistake = Mistake(place, EVIL, EVIL, 0.5, text=EVIL)
    results = json.loads((copy.directory / "results.json").read_text())
    results["exhibits"][0]["classes"] = [EVIL, "b&amp;", "$c$"]
    change(
        copy,
        "results.json",
        exhibits=[
            results["exhibits"][0],
            Mistakes([mistake], 1, 30).to_dict(),
            {"kind": "passage", "text": EVIL, "bits": [2.5] * len(EVIL), "about": EVIL},
            {"kind": "passage", "text": EVIL, "bits": [], "about": EVIL},
        ],
    )
    recipe = json.loads((copy.directory / "recipe.json").read_text())
    change(
        copy,
        "recipe.json",
        data={"value": EVIL, "from": f"file {EVIL}"},
        model_args={"value": {EVIL: EVIL}, "from": EVIL},
        batch_size=recipe["batch_size"],
    )
    html = write_report(Run(copy.directory)).read_text()
    page = Page(html)
    assert EVIL not in html
    assert page.text.count(EVIL) > 12
    assert "script" not in page.tags
    assert not page.events
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "b&amp;amp;" not in page.text


def test_problems_are_listed_and_cut(copy):
    change(copy, "data.json", problems=[f"line {i}: odd" for i in range(200)])
    text = Page(report_page(copy)).text
    assert "line 49: odd" in text
    assert "line 50: odd" not in text
    assert "and 150 more" in text


def test_further_looks_at_the_test_split_are_told(copy):
    change(copy, "results.json", test_looks=3)
    assert "was scored 3 times" in Page(report_page(copy)).text


def test_many_classes_are_folded_away(copy):
    change(copy, "data.json", classes={f"class {i}": {"train": i, "val": 0, "test": 0} for i in range(40)})
    html = report_page(copy)
    assert "<summary>40 classes</summary>" in html
    Page(html)


def test_no_mistake_at_all(copy):
    results = json.loads((copy.directory / "results.json").read_text())
    change(copy, "results.json", exhibits=[results["exhibits"][0], Mistakes([], 0, 30).to_dict()])
    assert "None of 30 test examples was answered wrongly." in Page(report_page(copy)).text


def test_numbers_without_end(copy):
    results = json.loads((copy.directory / "results.json").read_text())
    change(copy, "results.json", test=results["test"] | {"loss": math.inf, "macro_f1": math.nan})
    text = Page(report_page(copy)).text
    assert "∞" in text
    assert "not a number" in text


def test_an_unfinished_run_shows_how_far_it_came(copy):
    (copy.directory / "results.json").unlink()
    lines = (copy.directory / "metrics.jsonl").read_text().splitlines()
    (copy.directory / "metrics.jsonl").write_text("\n".join(lines[:15]) + '\n{"step": 1')
    page = Page(write_report(copy).read_text())
    assert page.headings == ["Learning curves", "Diagnosis", "Data", "Recipe", "Environment"]
    assert f"Not finished: {len(copy.history)} of 30 epochs" in page.text
    assert 0 < len(copy.history) < 30
    assert "didact train --resume copy" in page.text


@pytest.mark.parametrize("kept", [0, 1])
def test_a_run_that_has_hardly_begun(copy, kept):
    (copy.directory / "results.json").unlink()
    lines = (copy.directory / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy.directory / "metrics.jsonl").write_text("".join(lines[:kept]))
    text = Page(report_page(copy)).text
    assert "Not finished: 0 of 30 epochs" in text
    assert ("Nothing is recorded yet" in text) == (kept == 0)


def test_a_missing_file_is_named(copy):
    (copy.directory / "data.json").unlink()
    before = copy.report.read_bytes()
    with pytest.raises(RunError, match=r"data\.json: no such file"):
        write_report(copy)
    assert copy.report.read_bytes() == before


def test_pictures(tmp_path):
    run = didact.fit("lenet5", "digits", out=tmp_path / "run", epochs=1, augment=())
    page = Page(run.report.read_text())
    assert "Worst mistakes" in page.headings
    pictures = [link for link in page.links if link.startswith("data:image/png;base64,")]
    assert len(pictures) == 12 + len(run.exhibits[1].mistakes)


def test_a_regression(tmp_path):
    run = didact.fit("mlp", "diabetes", out=tmp_path / "run", epochs=2)
    page = Page(run.report.read_text())
    assert "Predicted against true" in page.headings
    assert "always answering their mean is" in page.text


def test_a_game(tmp_path):
    run = didact.fit("gan", "gaussian", out=tmp_path / "run", epochs=1)
    page = Page(run.report.read_text())
    assert page.headings[:4] == ["Learning curves", "Diagnosis", "Scores", "Real and generated"]
    assert "What it generates has mean" in page.text


def test_a_language_model(tmp_path):
    text = "The cat sat on the mat.\nThe dog sat on the log, and the cat & the dog <sat> still.\n"
    (tmp_path / "text.txt").write_text("".join(f"{i}. {text}" for i in range(120)))
    run = didact.fit("elman", tmp_path / "text.txt", out=tmp_path / "run", epochs=1, context=32)
    page = Page(run.report.read_text())
    assert page.headings[:5] == ["Learning curves", "Diagnosis", "Scores", "Text", "Data"]
    read, written = run.exhibits
    assert read.text in page.text
    assert written.text in page.text
    assert "elman on text.txt" in page.text
    assert "equally likely ones" in page.text


# --------------------------------------------------------------------------------------------------- words


def test_numbers_in_words():
    shown = {
        0.98611: "0.9861",
        1: "1.0000",
        0: "0.0000",
        -0.5: "−0.5000",
        54.2312: "54.23",
        12345.6: "12,346",
        2.13e-5: "2.1e-05",
        math.inf: "∞",
    }
    assert {value: number(value) for value in shown} == shown


def test_times_in_words():
    shown = [duration(seconds).replace("\N{NO-BREAK SPACE}", " ") for seconds in (0.31, 42, 200)]
    assert shown == ["0.3 s", "42 s", "3 min 20 s"]


def test_counts_in_words():
    assert count(1, "epoch") == "1 epoch"
    assert count(2, "class") == "2 classes"
    assert count(1797, "example") == "1,797 examples"


def test_settings_as_they_are_typed():
    values = [None, True, (0.5, 0.999), {"a": 1}, (), 1e-05, 0.1, "adam"]
    assert [setting(v) for v in values] == [
        "none",
        "true",
        "0.5,0.999",
        "a:1",
        "none",
        "1e-05",
        "0.1",
        "adam",
    ]


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (9, 10), (10, 10), (353, 360), (1, 2)])
def test_wilson_against_scipy(hits, total):
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    assert wilson(hits, total) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_every_knob_is_documented():
    docs = knob_docs()
    assert docs.keys() == recipe_types().keys()
    assert docs["epochs"] == "Passes over the training split."
    assert all(docs.values())
    for model in CATALOG:
        assert docs.items() <= knob_docs(model).items()
    assert "d_steps" in knob_docs("gan")
    assert "facts" not in knob_docs("gan")
