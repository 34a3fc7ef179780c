"""Pages that the code writes itself: the catalogue, the knobs, the commands and the syllabus as Markdown.

Each function reads the one place where a fact stands, so that no page holds a second copy of it.
"""

import argparse
import dataclasses
import inspect
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import patch

import figures

import didact
from didact.catalog import CATALOG, constructor_arguments
from didact.cli.main import COMMANDS, Parser, overview
from didact.data.embedded import EMBEDDED
from didact.doctor.codes import causes as every_cause
from didact.recipes.digits_classifier import trained_as
from didact.recipes.experiment import Experiment
from didact.recipes.experiments.every import EXPERIMENTS
from didact.recipes.table import Table
from didact.syllabus.search import Concept, concepts
from didact.tasks.choose import TASKS
from didact.train.parse import describe
from didact.train.recipe import Recipe, argument_docs, knob_docs, recipe_types

CASES = Path(__file__).parents[1] / "examples" / "doctor" / "cases.toml"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
MEASURED = Path(__file__).parent / "bars.json"
CLASSIFIER = "classifier:"  # before a network's name: its own recipe on the digits, measured
COLUMNS = 84  # characters in a line of a command's help


def models() -> str:
    """A table of every architecture."""
    rows = [
        (
            f"[{name}](#{anchor(name)})",
            ", ".join(entry.tasks),
            f"{entry.parameters:,}",
            code(entry.data),
            escape(entry.source),
        )
        for name, entry in CATALOG.items()
    ]
    return table(("model", "learns to", "parameters", "trains on", "source"), rows)


def paper_cards() -> str:
    """A section for each architecture: the card of its file, its arguments and its recipe."""
    return "\n\n".join(_paper_card(name) for name in CATALOG)


def _paper_card(name: str) -> str:
    entry, cls = CATALOG[name], CATALOG[name].resolve()
    said = argument_docs(cls)
    arguments = [
        (code(key), _default(parameter.default, "from the data"), prose(said.get(key, "")))
        for key, parameter in constructor_arguments(name).items()
    ]
    recipe = [(code(key), code(shown(value))) for key, value in entry.recipe.items()]
    return "\n\n".join(
        [
            f"## {name}",
            f"{sentence(entry.about)} `{entry.target}`",
            f"```console\n$ didact train {name}\n```",
            docstring(inspect.getdoc(import_module(entry.target.split(":")[0])) or ""),
            "**Arguments**, for `--set` and `didact.build`",
            table(("argument", "default", "meaning"), arguments),
            "**Recipe**, where it differs from the [defaults](recipes.md)",
            table(("knob", "value"), recipe),
        ]
    )


def knobs() -> str:
    """Every knob of a recipe with its sentence."""
    types, said = recipe_types(), knob_docs()
    defaults = {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for field in dataclasses.fields(Recipe)
    }
    rows = [
        (code(name), _default(defaults[name], "none"), prose(text), escape(describe(types[name])))
        for name, text in said.items()
        if name not in ("model_args", "task_args")
    ]
    return table(("knob", "default", "meaning", "value"), rows)


def task_knobs() -> str:
    """The knobs of each task."""
    rows = []
    for name, task in TASKS.items():
        said, hints = argument_docs(task), get_type_hints(task)
        rows += [
            (
                code(field.name),
                name,
                _default(field.default, ""),
                prose(said[field.name]),
                escape(describe(hints[field.name])),
            )
            for field in dataclasses.fields(task)
            if field.name != "facts"
        ]
    return table(("knob", "task", "default", "meaning", "value"), rows)


def bars() -> str:
    """The runs whose end was measured, from the file that ``make bars`` writes."""
    rows = []
    for name, bar in measured().items():
        if name.startswith(CLASSIFIER):
            continue
        said = inspect.getdoc(import_module(f"didact.recipes.{name}")) or ""
        command = re.search(r"^command +(.*?)^\w", said, re.M | re.S)
        scores = [f"{metric} {spread(score)}" for metric, score in bar["scores"].items()]
        rows.append(
            (
                code(name),
                code(" ".join(command[1].split()) if command else ""),
                ", ".join(scores),
                lasted(bar),
                str(bar["seeds"]),
            )
        )
    return table(("recipe", "command", "test score", "time", "seeds"), rows)


def measured() -> dict[str, Any]:
    """What ``make bars`` wrote."""
    return json.loads(MEASURED.read_text(encoding="utf-8"))


def spread(score: dict[str, float]) -> str:
    """A mean over seeds with its standard deviation, where there are seeds enough for one."""
    return f"{score['mean']:.3f}" + (f" ± {score['deviation']:.3f}" if score["deviation"] is not None else "")


def lasted(bar: Mapping[str, Any]) -> str:
    """How long a training took."""
    return f"{bar['seconds'] or '< 1'} s"


def classifiers() -> str:
    """The image classifiers: what they cost, what others print of them, what they reach on the digits."""
    reached, published = measured(), figures.published()
    rows = [
        _classifier(name, row, reached.get(f"{CLASSIFIER}{trained_as(name)}"))
        for name, row in published.items()
    ]
    counted = ("parameters", "published", "multiply-adds", "published", "FLOPs")
    return table(("network", *counted, "digits", "weights"), rows)


def _classifier(name: str, row: Mapping[str, Any], bar: Mapping[str, Any] | None) -> tuple[str, ...]:
    model = figures.on_paper(name)
    billions, but = figures.multiply_adds(model, row["side"]) / 1e9, row.get("arguments", {})
    how = ", ".join([row.get("by", ""), *(f"{key}={value}" for key, value in but.items())])
    return (
        f"[{name}](#{anchor(name)})",
        f"{figures.parameters(model):,}",
        f"{printed(row['parameters'])} ({how})" if "parameters" in row else "",
        f"{billions:.4g} G at {row['side']}",
        f"{row['multiply_adds']} G ({row['counted_by']})" if "multiply_adds" in row else "",
        f"{2 * billions:.4g} G",
        f"{spread(bar['scores']['accuracy'])}, n = {bar['seeds']}, {lasted(bar)}" if bar else "",
        row["state_dict"],
    )


def printed(figure: Decimal | int) -> str:
    """A published count, which may be rounded."""
    return f"about {int(figure):,}" if isinstance(figure, Decimal) else f"{figure:,}"


def tasks() -> str:
    """What can be learned, and the number that people quote."""
    rows = [
        (code(name), prose(summary(task)), code(task.metric), code(task.watch), code(task.__module__))
        for name, task in TASKS.items()
    ]
    return table(("task", "what it does", "quoted", "chooses the weights", "file"), rows)


def embedded() -> str:
    """The data sets that need no file."""
    rows = [(code(name), entry.task, escape(entry.about)) for name, entry in EMBEDDED.items()]
    return table(("data", "task", "what it is"), rows)


def commands() -> str:
    """The help of every command, as it prints it."""
    parts = [block("text", overview())]
    with patch.dict(os.environ, {"COLUMNS": str(COLUMNS), "NO_COLOR": "1"}):
        for name in COMMANDS:
            parts += [f"## {name}", block("text", parser_of(name).format_help())]
    return "\n\n".join(parts)


def parser_of(name: str) -> Parser:
    """The parser of a command, with all of its flags."""
    command = COMMANDS[name]
    parser = Parser(
        prog=f"didact {name}",
        description=f"{command.example}\n\n{sentence(command.about)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    import_module(f"didact.cli.{name}").add_arguments(parser)
    return parser


def syllabus() -> str:
    """Every concept: where it lives, what proves it, how to see it."""
    return "\n\n".join(_concept(concept) for concept in concepts())


def _concept(concept: Concept) -> str:
    lines = [f"**{escape(concept.title)}** ({code(concept.id)})", ""]
    lines += [f":code: {', '.join(map(code, concept.code))}"] * bool(concept.code)
    lines += [f":tests: {', '.join(map(code, concept.tests))}"] * bool(concept.tests)
    lines += [f":told: {', '.join(_page(place) for place in concept.docs)}"] * bool(concept.docs)
    lines += [f":run: {code(concept.run)}"] * bool(concept.run)
    return "\n".join([*lines, f":rows: {', '.join(concept.covers)}"])


def _page(place: str) -> str:
    page, heading = place.removeprefix("docs/").split("#")
    return f"[{heading.replace('-', ' ')}]({page}#{heading})"


def covered() -> str:
    """How many rows of the curriculum the concepts cover."""
    rows = [row for concept in concepts() for row in concept.covers]
    return f"{len(concepts())} concepts cover {len(rows)} rows of the curriculum."


def api() -> str:
    """What ``import didact`` offers."""
    parts = []
    public = {name: getattr(didact, name) for name in didact.__all__}
    for name, thing in sorted(public.items(), key=lambda pair: inspect.isclass(pair[1])):  # functions first
        if thing is Recipe:  # the page of the knobs has its fields
            parts.append(f".. autoclass:: didact.{name}(**knobs)\n   :members: load, to_dict")
        elif inspect.isclass(thing):
            parts.append(f".. autoclass:: didact.{name}\n   :members:")
        elif callable(thing):
            parts.append(f".. autofunction:: didact.{name}")
    return block("{eval-rst}", "\n\n".join(parts))


CATALOGUE = (models, paper_cards, classifiers)


def experiments() -> str:
    """What the experiments were found to say, from the file that ``make bars`` writes."""
    found = json.loads((Path(__file__).parent / "experiments.json").read_text(encoding="utf-8"))
    return "\n\n".join(_experiment(each, found[name]) for name, each in EXPERIMENTS.items())


def _experiment(experiment: Experiment, record: Mapping[str, Any]) -> str:
    measured = Table.from_dict(record["table"])
    rows = [
        (escape(label), *(escape(str(measured.of(label, number))) for number in experiment.numbers))
        for label in experiment.variants
    ]
    module = f"didact.recipes.experiments.{experiment.name.replace('-', '_')}"
    images = Path(__file__).parent / "images"
    drawn = [
        path
        for kind in (".svg", "-*.png")
        for path in sorted(images.glob(f"experiment-{experiment.name}{kind}"))
    ]
    how = (inspect.getdoc(import_module(module)) or "").split("\n\n")[-1]  # below command and time
    return "\n\n".join(
        [
            f"## {experiment.name}",
            sentence(experiment.question).removesuffix("."),
            block("console", f"$ didact experiment {experiment.name}"),
            f"**Claim** ({escape(experiment.source)}): {escape(experiment.claim)}.",
            f"**Here**: {escape(record['verdict'])}",
            prose(" ".join(how.split())),
            *(f"![{path.stem}](images/{path.name})" for path in drawn),
            table(("", *map(escape, experiment.numbers)), rows),
            f"{record['seeds']} seeds, {record['seconds'] / 60:.1f} min of one core in all, torch "
            f"{record['versions']['torch'].split('+')[0]}, {record['date']}.",
        ]
    )


def causes() -> str:
    """A table of all that the doctor can name, each with its page."""
    rows = [
        (
            cause.code,
            f"[{escape(cause.name)}](doctor/{cause.code.lower()}.md)",
            "exact" if cause.exact else "with a symptom",
            escape(cause.notes),
        )
        for cause in every_cause().values()
    ]
    return table(("code", "cause", "proof", "notes"), rows)


def cases() -> str:
    """Faults of known repositories: where they stood, and what the doctor says of each."""
    told = tomllib.loads(CASES.read_text(encoding="utf-8"))["case"]
    rows = [
        (
            f"`examples/doctor/{case['script']}`",
            f"[{case['repository']}]({case['url']})",
            escape(case["sentence"]),
            " or ".join(case["accepted"]),
        )
        for case in told
    ]
    return table(("script", "thread", "what was wrong", "the doctor says"), rows)


def judged() -> str:
    """What the doctor found in the runs of its benchmark, each part in a row."""
    found = _result("doctor")
    parts = {
        "spoiled runs": found["faulty"],
        "of them those whose score falls": found["harmful"],
        "mean over the causes": {"runs": len(found["codes"])} | found["mean_of_codes"],
    }
    rows = [
        (name, f"{part['runs']:,}", *(f"{part[key]:.1%}" for key in ("detection", "top1", "top3")))
        for name, part in parts.items()
    ]
    calm = found["healthy"]
    return "\n\n".join(
        (
            table(("", "runs", "flagged", "cause first", "among the first three"), rows),
            f"Of {calm['runs']} healthy runs that are odd on purpose {calm['alarms']} raised an alarm, "
            f"{calm['rate']:.1%} (at most {calm['at_most']:.1%} with 95 % confidence). {found['date']}.",
        )
    )


def unseen() -> str:
    """What it found on tasks that no rule was made on: at first sight, and since."""
    return _by_entry("doctor_unseen")


def programs() -> str:
    """The same of programs."""
    return _by_entry("doctor_programs")


def _by_entry(name: str) -> str:
    rows = [
        (
            when,
            f"{entry['total']['faulty']} and {entry['total']['healthy']}",
            *(f"{entry['shares'][key]:.1%}" for key in ("flagged", "first", "first three", "false alarms")),
        )
        for when, entry in _result(name).items()
    ]
    return table(("", "spoiled and healthy", "flagged", "cause first", "first three", "false alarms"), rows)


def left_out() -> str:
    """The same of the benchmark, with every limit chosen without the task that is judged."""
    found = _result("doctor_left_out")
    count, share = found["total"], found["shares"]
    flagged, named, alarms = (f"{share[key]:.1%}" for key in ("flagged", "named first", "false alarms"))
    return (
        f"Over {count['faulty']:,} spoiled runs {flagged} are flagged then, {named} with their cause first; "
        f"of {count['healthy']} healthy ones {alarms} raise an alarm."
    )


def overhead() -> str:
    """What watching costs."""
    rows = [
        (row["network"], f"{row['updates']:,}", f"{row['milliseconds']:.1f} ms", f"{row['overhead']:.1%}")
        for row in _result("doctor_overhead")["rows"]
    ]
    return table(("", "updates", "an update takes", "watching adds"), rows)


def fixed() -> str:
    """What the printed fix wins back."""
    total = _result("doctor_fixes")["total"]
    named, good, back = (
        f"{total[key]:.0%}" for key in ("named first", "as good as healthy", "median share recovered")
    )
    return (
        f"Of {total['runs']} spoiled runs {named} had the cause named first, {good} were as good as the "
        f"healthy one after the fixes, and the median share of the gap that was won back is {back}."
    )


def others() -> str:
    """Other tools on the same runs."""
    rows = [
        (
            name,
            f"{row['faulty']} and {row['healthy']}",
            *(f"{row[key]:.1%}" for key in ("flagged", "top1", "top3", "alarm_rate", "identical")),
            f"{row['cpu_ratio']:.2f}",
        )
        for name, row in _result("doctor")["others"].items()
    ]
    headings = (
        "spoiled and healthy",
        "flagged",
        "cause first",
        "first three",
        "false alarms",
        "same weights",
        "time",
    )
    return table(("", *headings), rows)


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


FINDINGS = (experiments, causes, cases, judged, unseen, programs, left_out, fixed, overhead, others)
PAGES = (*CATALOGUE, knobs, task_knobs, bars, tasks, embedded, commands, syllabus, covered, api, *FINDINGS)
GENERATED: dict[str, Callable[[], str]] = {page.__name__: page for page in PAGES}


# Markdown


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def block(language: str, text: str) -> str:
    """Fenced code."""
    return f"```{language}\n{text.rstrip()}\n```"


def code(text: object) -> str:
    """Inline code."""
    return f"`{text}`"


def escape(text: str) -> str:
    """Markdown's own characters, to be read as they are."""
    return re.sub(r"([\\*_\[\]<>$`])", r"\\\1", text)


def prose(text: str) -> str:
    """A sentence of a docstring: code in double backticks stays code, all else is plain."""
    parts = re.split(r"``(.+?)``", text)
    return "".join(code(part) if k % 2 else escape(part) for k, part in enumerate(parts))


def docstring(text: str) -> str:
    """A docstring: indented parts are drawings, addresses become links, the first line is bold."""
    first, *rest = text.replace("\nSee also:", "\n\nSee also:").split("\n\n")
    parts = [f"**{prose(first)}**"]
    for part in rest:
        if part.startswith("    "):
            parts.append(block("text", inspect.cleandoc("\n" + part)))
        elif part.startswith("https://"):
            parts.append(f"<{part}>")
        else:
            parts.append(prose(part))
    return "\n\n".join(parts)


def summary(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n")[0]


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def anchor(name: str) -> str:
    """The anchor of a heading."""
    return name.lower().replace(" ", "-")


def shown(value: Any) -> str:
    """A value as it would be typed."""
    if isinstance(value, dict):
        return ",".join(f"{key}:{shown(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(value: Any, none: str) -> str:
    if value is inspect.Parameter.empty or value is None or value in ((), {}):
        return none
    return code(shown(value))
