"""``report.html``: a run on one page that a teacher can mark and a student can learn from.

It is made of the run's files and nothing else, so it can be made again at any time, byte for byte; it holds
its figures in itself, asks for nothing over the network and runs no script.
"""

from collections.abc import Mapping
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from didact.catalog import find
from didact.doctor.codes import named
from didact.tasks.exhibits import Exhibit, Mistakes, Passage
from didact.train.files import read_json, write_text
from didact.train.page import (
    drawing,
    exhibit_card,
    folded,
    gallery,
    meter,
    page,
    paragraph,
    table,
    tiles,
)
from didact.train.recipe import knob_docs
from didact.train.run import Run
from didact.train.words import (
    MEANING,
    READING,
    count,
    duration,
    how_to_read,
    number,
    plain,
    setting,
    verdict,
    wilson,
)

Section = tuple[str, str, str]  # anchor, heading, HTML
Entry = dict[str, Any]  # one knob of recipe.json: its value, and where that came from
MANY_CLASSES = 20  # beyond these, a table of classes is folded away
SHOWN_PROBLEMS = 50


def write_report(run: Run) -> Path:
    """Write ``report.html`` into a run's directory from the files that lie there.

    Args:
        run: A finished run, or one that is not: then the page shows how far it came.

    Returns:
        The path of the page.

    Raises:
        RunError: A file of the run is missing or damaged, or the page cannot be written.
    """
    write_text(run.report, report_page(run))
    return run.report


def report_page(run: Run) -> str:
    """The page as HTML."""
    title = f"{run.recipe.model} on {_data_name(run)}"
    sections: list[Section] = [("curves", "Learning curves", _curves(run))]
    if run.diagnosis:
        sections.append(("diagnosis", "Diagnosis", _diagnosis(run)))
    if run.finished:
        sections.append(("scores", "Scores", _scores(run)))
        sections += _exhibits(run)
    sections += [("data", "Data", _data(run)), ("recipe", "Recipe", _recipe(run))]
    if run.finished:
        sections.append(("cost", "Cost", _cost(run)))
    sections.append(("environment", "Environment", _environment(run)))
    version = read_json(run.directory / "environment.json")["didact"]
    footer = f"Trained and reported by didact {version}, from the files of this run alone."
    return page(f"{title} · didact", _header(run), sections, footer)


def _data_name(run: Run) -> str:
    return Path(run.recipe.data).name or run.recipe.data


def _header(run: Run) -> str:
    entry = find(run.recipe.model)
    heading = f"<h1>{escape(run.recipe.model)} <span>on</span> {escape(_data_name(run))}</h1>"
    about = paragraph(f"{entry.about[:1].upper()}{entry.about[1:]} ({entry.source}).", "about")
    if not run.finished:
        return f'<div class="hero"><div>{heading}{about}{_unfinished(run)}</div></div>'
    metric, value = run.task.metric, run.scores["test"][run.task.metric]
    return (
        f'<div class="hero"><div>{heading}{about}{paragraph(verdict(run), "verdict")}</div>'
        f'<div class="score"><b>{number(value)}</b><span>test {escape(plain(metric))}</span></div></div>'
    )


def _unfinished(run: Run) -> str:
    done, place = len(run.history), run.directory.resolve().name
    return paragraph(
        f"Not finished: {done} of {count(run.recipe.epochs, 'epoch')} done, and nothing scored "
        f"yet. To go on: didact train --resume {place}",
        "warn",
    )


def _curves(run: Run) -> str:
    history, curve = run.history, run.curve
    if not history and not curve:
        return paragraph("Nothing is recorded yet.", "quiet")
    from didact.draw.curves import draw_learning_curves, smoothing_factor
    from didact.draw.style import to_svg

    figure = draw_learning_curves(history, curve, run.task.metric)
    shown = ", ".join((curve or history)[0]["train"])
    words = f"Curves of {shown} over {count(len(history), 'epoch')} of training"
    every = round(history[-1]["step"] / max(len(curve), 1)) if history else 1
    each = f"every {every} updates" if every > 1 else "each update"
    factor = smoothing_factor(len(curve))
    how = f"The training curve has a point for {each}."
    if factor:
        how = (
            f"The faint line is the raw training curve, a point for {each}; the strong one is its "
            f"exponential moving average (factor {factor:g})."
        )
    return drawing(to_svg(figure), words) + paragraph(f"{how} {how_to_read(run)}", "quiet")


def _diagnosis(run: Run) -> str:
    """The verdict, then each finding with its evidence, its fix and its picture."""
    said = run.diagnosis
    grave = [finding for finding in said["findings"] if finding["severity"] != "hint"]
    hints = [finding for finding in said["findings"] if finding["severity"] == "hint"]
    parts = [paragraph(_overall(said), "warn" if grave else ""), *map(_finding, grave)]
    if hints:
        parts.append(folded(count(len(hints), "hint"), "\n".join(map(_finding, hints))))
    return "\n".join([*parts, _data_findings(said["preflight"]["data"]), _healing(run)])


def _overall(said: Mapping[str, Any]) -> str:
    """The verdict in a sentence or two, with what was known before the first update."""
    if "why" in said:
        return f"{said['why'][:1].upper()}{said['why'][1:]}."
    watched, before = said["watched"], said["preflight"]
    updates = f"{watched['to'] - watched['after']:,} updates"
    if watched["after"]:
        updates = f"updates {watched['after'] + 1:,} to {watched['to']:,}"
    words = f"The doctor watched {updates}. {VERDICTS[said['verdict']]}"
    if before["first_loss"] is None or before["ignorance"] is None:
        return words
    first, ignorance = number(before["first_loss"]), number(before["ignorance"])
    return f"{words} The first loss was {first}; to know nothing costs {ignorance} ({before['words']})."


VERDICTS = {
    "healthy": "It found nothing wrong.",
    "suspect": "Something probably holds the run back.",
    "faulty": "Something spoils the run.",
    "not watched": "There was nothing to watch.",
}


def _finding(finding: Mapping[str, Any]) -> str:
    """One finding: what, where, the numbers that speak for it, the fix, the notes' section, the picture."""
    place = f", in {finding['where']}" if finding["where"] else ""
    follows = f"; a consequence of {finding['because']}" if finding["because"] else ""
    cause = f"{finding['cause'][:1].upper()}{finding['cause'][1:]}"
    heading = f"<h3>{escape(cause)} <code>{escape(finding['code'])}</code></h3>"
    seen = paragraph(f"Seen after {count(finding['seen'], 'update')}{place}{follows}.", "quiet")
    rows = [[escape(name), escape(_measured(value))] for name, value in finding["evidence"].items()]
    fix = f"<p><b>Fix:</b> <code>{escape(finding['fix'])}</code></p>" if finding["fix"] else ""
    alike = finding.get("alike", ())  # a diagnosis of before has none
    others = paragraph(f"If it is not that: {named(alike)}.", "quiet") if alike else ""
    notes = paragraph(f"In the notes: {finding['notes']}.", "quiet") if finding["notes"] else ""
    return (
        heading
        + seen
        + (table(["measured", ""], rows, kind="few") if rows else "")
        + fix
        + others
        + notes
        + _drawn(finding)
    )


def _drawn(finding: Mapping[str, Any]) -> str:
    if not finding["picture"]:
        return ""
    from didact.draw.diagnosis import draw_finding
    from didact.draw.style import to_svg

    return drawing(to_svg(draw_finding(finding)), finding["picture"]["title"])


def _measured(value: Any) -> str:
    """A number as it is read, a list item by item; JSON has no word for what is not finite."""
    if isinstance(value, list):
        return ", ".join(map(_measured, value))
    if value is None:
        return "not finite"
    return (
        number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _data_findings(found: list[Mapping[str, Any]]) -> str:
    """What the data doctor found before training."""
    if not found:
        return ""
    rows = [
        [
            escape(f["severity"]),
            escape(f"{f['where']}: {f['what']}"),
            f'<span class="quiet">{escape(f["fix"])}</span>',
        ]
        for f in found
    ]
    return folded(count(len(found), "finding") + " in the data", table(["", "what", "fix"], rows))


def _healing(run: Run) -> str:
    """Where this run mends another: what was changed, and what that brought."""
    path = run.directory / "healed.json"
    if not path.exists():
        return ""
    healed = read_json(path)
    before, after = (
        "not trained to its end" if v is None else number(v) for v in (healed["before"], healed["after"])
    )
    share = "" if healed["recovered"] is None else f", {healed['recovered']:.0%} of the gap"
    return paragraph(
        f"This run heals {healed['of']} ({healed['finding']['code']} {healed['finding']['cause']}): "
        f"{healed['change']}. Validation {plain(healed['metric'])}: {before} before, {after} after{share}."
    )


def _scores(run: Run) -> str:
    results, metric = run.results, run.task.metric
    names = [metric, *(name for name in results["test"] if name != metric)]
    rows = [
        [
            f"<code>{escape(name)}</code>",
            number(results["val"][name]),
            number(results["test"][name]),
            f'<span class="quiet">{escape(MEANING.get(name, ""))}</span>',
        ]
        for name in names
    ]
    sizes = run.facts.sizes
    head = ["", f"validation ({sizes['val']:,})", f"test ({sizes['test']:,})", "meaning"]
    return table(head, rows, numbers=(1, 2), first=0) + _certainty(run) + _looks(results["test_looks"])


def _certainty(run: Run) -> str:
    """How far the test accuracy can be trusted, from the number of test examples alone."""
    seen = next((e for e in run.exhibits if isinstance(e, Mistakes)), None)
    if seen is None or not seen.total:
        return ""
    low, high = wilson(seen.total - seen.wrong, seen.total)
    return paragraph(
        f"{count(seen.total, 'test example')} can tell the accuracy no closer than between "
        f"{low:.4f} and {high:.4f} (95 % interval of Wilson): two models whose intervals "
        "overlap may be equally good.",
        "quiet",
    )


def _looks(looks: int) -> str:
    if looks > 1:
        return paragraph(
            f"The test split was scored {looks} times. Every choice made after the first time "
            "makes its numbers too good.",
            "warn",
        )
    return paragraph(
        "The test split was scored once, after training had ended. The validation numbers are "
        "those that chose the weights, so they are slightly too good.",
        "quiet",
    )


def _exhibits(run: Run) -> list[Section]:
    """A section for each kind of exhibit; neighbours of one kind share one."""
    alike = groupby(run.exhibits, key=lambda exhibit: exhibit.title)
    return [
        (f"exhibit-{place}", title, "\n".join(map(_exhibit, group)))
        for place, (title, group) in enumerate(alike, 1)
    ]


def _exhibit(exhibit: Exhibit) -> str:
    if isinstance(exhibit, Mistakes):
        return _mistakes(exhibit)
    if isinstance(exhibit, Passage):
        return _passage(exhibit)
    from didact.draw.style import to_svg

    return drawing(to_svg(exhibit.plot()), exhibit.title) + paragraph(READING.get(exhibit.kind, ""), "quiet")


def _mistakes(exhibit: Mistakes) -> str:
    if not exhibit.mistakes:
        return paragraph(f"None of {count(exhibit.total, 'test example')} was answered wrongly.")
    cards = [
        exhibit_card(
            m.picture,
            m.text,
            f"<b>{escape(m.true)}</b> taken for <b>{escape(m.predicted)}</b>"
            f"{meter(m.probability)}{m.probability:.0%} sure<span>{escape(m.place)}</span>",
        )
        for m in exhibit.mistakes
    ]
    which = (
        "All of them, those it was surest of first:"
        if len(cards) == exhibit.wrong
        else (f"The {len(cards)} it was surest of:")
    )
    lead = paragraph(f"{exhibit.wrong:,} of {count(exhibit.total, 'test example')} answered wrongly. {which}")
    return lead + gallery(cards, of_texts=not any(m.picture for m in exhibit.mistakes))


def _passage(exhibit: Passage) -> str:
    about = f"<h3>{escape(exhibit.about[:1].upper() + exhibit.about[1:])}</h3>"
    if not exhibit.bits:
        return f"{about}<pre>{escape(exhibit.text)}</pre>"
    shaded = "".join(
        f'<span class="s{min(int(bits), 7)}" title="{bits:.1f} bits">{escape(character)}</span>'
        for character, bits in zip(exhibit.text, exhibit.bits, strict=False)
    )
    key = "".join(f'<i class="s{level}"></i>' for level in range(8))
    return (
        f'{about}<pre>{shaded}</pre><div class="key quiet"><span>0 bits: no surprise</span>{key}'
        "<span>7 bits and more</span></div>"
    )


def _data(run: Run) -> str:
    card = read_json(run.directory / "data.json")
    shape = "×".join(str(side) for side in card["input_shape"])
    facts = {
        "inputs": f"{card['inputs']}, {shape}",
        "to learn": _target(run, card),
        **{
            f"{split} examples" if card["inputs"] != "tokens" else f"{split} tokens": f"{size:,}"
            for split, size in card["sizes"].items()
        },
        **({"vocabulary": f"{card['vocabulary']:,}"} if "vocabulary" in card else {}),
    }
    return "\n".join(
        [
            paragraph(card["about"]) if card["about"] else "",
            tiles(facts.items()),
            _problems(card["problems"]),
            _examples(card),
            _class_counts(card),
            _columns(card),
            f'<p class="quiet">Fingerprint <code>{escape(card["fingerprint"])}</code></p>',
        ]
    )


def _target(run: Run, card: Mapping[str, Any]) -> str:
    if card["target"] == "class":
        return f"{card['target_name']}, {count(len(card['classes']), 'class')}"
    return {"next": "the next token", "none": "their distribution"}.get(card["target"], card["target_name"])


def _problems(problems: list[str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li>{escape(problem)}</li>" for problem in problems[:SHOWN_PROBLEMS])
    more = f"<li>and {len(problems) - SHOWN_PROBLEMS:,} more</li>" if len(problems) > SHOWN_PROBLEMS else ""
    return f'<h3>Problems</h3>\n<div class="warn"><ul>{lines}{more}</ul></div>'


def _examples(card: Mapping[str, Any]) -> str:
    examples = card["examples"]
    if not examples:
        return ""
    cards = [
        exhibit_card(
            e.get("picture", ""),
            e.get("text", ""),
            f"<b>{escape(e['label'])}</b><span>{escape(e['place'])}</span>",
        )
        for e in examples
    ]
    return "<h3>Training examples</h3>\n" + gallery(cards, of_texts=not any("picture" in e for e in examples))


def _class_counts(card: Mapping[str, Any]) -> str:
    classes = card.get("classes")
    if not classes:
        return ""
    splits = list(card["sizes"])
    most = max((counts.get(splits[0], 0) for counts in classes.values()), default=0)
    rows = [
        [
            escape(name),
            *(f"{counts.get(split, 0):,}" for split in splits),
            meter(counts.get(splits[0], 0) / max(most, 1)),
        ]
        for name, counts in classes.items()
    ]
    text = table([card["target_name"], *splits, f"in {splits[0]}"], rows, numbers=range(1, len(splits) + 1))
    heading = "<h3>Examples of each class</h3>\n"
    return heading + (folded(f"{len(rows):,} classes", text) if len(rows) > MANY_CLASSES else text)


def _columns(card: Mapping[str, Any]) -> str:
    columns = card.get("columns")
    if not columns:
        return ""
    rows = [[escape(name), escape(kind)] for name, kind in columns.items()]
    return folded(count(len(rows), "input column"), table(["column", "kind"], rows, kind="few"))


def _recipe(run: Run) -> str:
    saved: dict[str, Entry] = _knobs(read_json(run.directory / "recipe.json"))
    docs = knob_docs(run.recipe.model)
    chosen = {name: entry for name, entry in saved.items() if entry["from"] != "default"}
    own_first = sorted(chosen, key=lambda name: chosen[name]["from"].startswith("default of"))
    others = [name for name in saved if name not in chosen]
    head = ["knob", "value", "from", "what it does"]
    first = table(head, [_knob_row(name, saved[name], docs) for name in own_first]) if own_first else ""
    rest = table(head, [_knob_row(name, saved[name], docs) for name in others])
    return first + folded(f"{count(len(others), 'knob')} left at the default", rest)


def _knobs(saved: Mapping[str, Entry]) -> dict[str, Entry]:
    """The knobs, with the arguments of model and task each as a knob of its own."""
    knobs: dict[str, Entry] = {}
    for name, entry in saved.items():
        if name in ("model_args", "task_args"):
            knobs |= {key: {"value": value, "from": entry["from"]} for key, value in entry["value"].items()}
        else:
            knobs[name] = entry
    return knobs


def _knob_row(name: str, entry: Entry, docs: Mapping[str, str]) -> list[str]:
    about = docs.get(name, "").replace("``", "")
    return [
        f"<code>{escape(name)}</code>",
        f"<code>{escape(setting(entry['value']))}</code>",
        f'<span class="origin">{escape(entry["from"])}</span>',
        f'<span class="quiet">{escape(about)}</span>',
    ]


def _cost(run: Run) -> str:
    cost = run.results["cost"]
    return tiles(
        [
            ("time", duration(cost["seconds"])),
            ("parameters", f"{cost['parameters']:,}"),
            ("epochs", f"{cost['epochs']:,}"),
            ("best epoch", f"{cost['best_epoch']:,}"),
            ("updates", f"{cost['updates']:,}"),
            ("examples / s", f"{cost['examples_per_second']:,.0f}"),
        ]
    )


def _environment(run: Run) -> str:
    entries = read_json(run.directory / "environment.json")
    rows = [
        [escape(name), f"<code>{escape(str(value))}</code>"]
        for name, value in entries.items()
        if value is not None
    ]
    return table(["", ""], rows)
