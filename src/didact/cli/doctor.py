"""``didact doctor``: why a training is not learning, of any script, of a run, or what a cause means."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from didact.cli.table import print_pairs, print_table
from didact.doctor.codes import Cause, causes, named
from didact.doctor.finding import plain
from didact.errors import RunError, UsageError

if TYPE_CHECKING:
    from didact.doctor.observation import ScriptReport

PICTURES = (".svg", ".png")
STDOUT = "-"
FILE = "diagnosis.json"
HEALTHY = ("healthy",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.passes_on = True  # type: ignore[attr-defined]
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SCRIPT|RUN|CODE",
        help="a script, whose own arguments stand after --; a run's directory; or a code such as S02",
    )
    parser.add_argument("-m", dest="module", metavar="MODULE", help="run a module, as python -m does")
    parser.add_argument("--codes", action="store_true", help="list all that can be found")
    parser.add_argument(
        "--fail-fast", action="store_true", help="end the script at the first certain fault; exit 1"
    )
    parser.add_argument(
        "--budget", type=float, default=0.03, help="share of the run's time for the doctor (default 0.03)"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="write JSON to a .json file; without one, print it: the script then prints to standard error",
    )
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page of findings and pictures")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw what was found, as .svg or .png")


def run(arguments: argparse.Namespace) -> int:
    """0 when healthy; 1 when something is found or the script failed; 130 after Ctrl-C."""
    _check(arguments)
    if arguments.codes:
        _list(arguments.json)
        return 0
    source = arguments.source
    if not arguments.module:
        if source.upper() in causes() and not Path(source).exists():
            _explain(causes()[source.upper()], arguments.json)
            return 0
        if Path(source).is_dir() and not (Path(source) / "__main__.py").exists():
            return _tell_run(Path(source), arguments)
        if not Path(source).exists():
            raise UsageError(_missing(source))
    return _watch(arguments)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything runs."""
    if arguments.json not in (None, STDOUT) and arguments.source is None and not arguments.module:
        arguments.source, arguments.json = arguments.json, STDOUT  # didact doctor --json train.py
    if arguments.json not in (None, STDOUT) and not arguments.json.endswith(".json"):
        raise UsageError(f"--json {arguments.json}: name a file that ends in .json, or none to print it")
    if arguments.html and arguments.html.suffix != ".html":
        raise UsageError(f"--html {arguments.html}: name a file that ends in .html")
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        raise UsageError(f"--plot {arguments.plot}: name a file that ends in .svg or .png")
    if not 0 <= arguments.budget <= 1:
        raise UsageError(f"--budget {arguments.budget}: a share of the run's time, from 0 to 1")
    if arguments.module and arguments.source:
        raise UsageError(
            f"-m {arguments.module} does not go with {arguments.source!r}; put the module's own arguments "
            f"after --: didact doctor -m {arguments.module} -- {arguments.source}"
        )
    if not (arguments.source or arguments.module or arguments.codes):
        raise UsageError("name a script, such as didact doctor train.py; or a run, a code, or --codes")


def _missing(source: str) -> str:
    if len(source) <= 4 and source.isalnum():
        return f"{source}: neither a file nor a code; didact doctor --codes lists the codes"
    return f"{source}: no such file; name a script, a run's directory or a code such as S02"


# A script


def _watch(arguments: argparse.Namespace) -> int:
    """Run the script, then say what was seen of it."""
    from didact.doctor.script import run_script

    leading = int(os.environ.get("RANK", "0")) == 0  # of the processes that torchrun starts
    with _aside() if arguments.json == STDOUT else redirect_stdout(sys.stdout):
        report = run_script(
            arguments.module or arguments.source,
            arguments.passed_on,
            module=bool(arguments.module),
            budget=arguments.budget,
            fail_fast=arguments.fail_fast,
            quiet=not leading,
        )
    if leading:
        _tell(report, arguments)
    return _exit_code(report)


@contextmanager
def _aside() -> Iterator[None]:
    """What is printed goes to standard error, from other programs that the script starts too."""
    sys.stdout.flush()
    saved = None
    with suppress(OSError, ValueError):  # standard output may be no file
        number = sys.stdout.fileno()
        saved = os.dup(number)
        os.dup2(sys.stderr.fileno(), number)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            sys.stdout.flush()
            os.dup2(saved, number)
            os.close(saved)


def _tell(report: "ScriptReport", arguments: argparse.Namespace) -> None:
    if report.exit_code == 130:
        print("didact: stopped; this is what was seen so far", file=sys.stderr)
    elif report.exit_code:
        print(f"didact: the script ended with exit code {report.exit_code}", file=sys.stderr)
    elif report.stopped:
        print("didact: stopped at the first certain fault", file=sys.stderr)
    print(f"didact: {report}", file=sys.stderr)
    if report.unseen and not report.exit_code:
        print(
            "Programs that a script starts are not watched: under torchrun, write "
            "torchrun ... -m didact doctor SCRIPT",
            file=sys.stderr,
        )
    _write(report.to_dict(), arguments, arguments.module or arguments.source)


def _exit_code(report: "ScriptReport") -> int:
    if report.exit_code == 130:
        return 130
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun takes 1 for a crash, and ends the other processes
        return int(bool(report.exit_code))
    return int(report.unseen or bool(report.exit_code) or report.verdict not in HEALTHY)


# Forms


def _write(said: Mapping[str, Any], arguments: argparse.Namespace, name: str) -> None:
    """The report as the flags want it."""
    if arguments.plot or arguments.html:
        from didact.train.files import write_bytes, write_text
    if arguments.plot:
        if any(finding["picture"] for finding in said["findings"]):
            from didact.draw.diagnosis import draw_diagnosis
            from didact.draw.style import to_png, to_svg

            figure = draw_diagnosis(said)
            vector = arguments.plot.suffix == ".svg"
            write_bytes(arguments.plot, to_svg(figure).encode() if vector else to_png(figure))
            print(f"drawn: {arguments.plot}", file=sys.stderr)
        else:
            print("not drawn: no finding has a picture", file=sys.stderr)
    if arguments.html:
        write_text(arguments.html, _page(said, name))
        print(f"written: {arguments.html}", file=sys.stderr)
    if arguments.json == STDOUT:
        print(json.dumps(plain(said)))
    elif arguments.json:
        from didact.train.files import write_text as write

        write(Path(arguments.json), json.dumps(plain(said), indent=2) + "\n")
        print(f"written: {arguments.json}", file=sys.stderr)


def _page(said: Mapping[str, Any], name: str) -> str:
    """A page that needs nothing else: the verdict, then each finding."""
    from html import escape

    from didact.train.page import page, paragraph
    from didact.version import VERSION

    head = f"{said['verdict']} after {said.get('steps', 0):,} updates"
    sections = [
        (f"finding-{k}", f"{finding['code']} {finding['cause']}", _section(finding))
        for k, finding in enumerate(said["findings"], 1)
    ]
    header = f'<div class="hero"><div><h1>{escape(name)}</h1>{paragraph(head, "verdict")}</div></div>'
    footer = f"Seen by the doctor of didact {VERSION}, which read nothing but what the run computed."
    return page(f"{name} · didact doctor", header, sections, footer)


def _section(finding: Mapping[str, Any]) -> str:
    from html import escape

    from didact.doctor.finding import in_words
    from didact.train.page import drawing, paragraph, table

    place = f", in {finding['where']}" if finding["where"] else ""
    follows = f"; a consequence of {finding['because']}" if finding["because"] else ""
    parts = [paragraph(f"{finding['severity']}{place}{follows}", "quiet")]
    rows = [[escape(str(key)), escape(in_words(value))] for key, value in finding["evidence"].items()]
    parts += [table(["measured", ""], rows)] if rows else []
    parts += [paragraph(f"Fix: {finding['fix']}")] if finding["fix"] else []
    alike = finding.get("alike", ())  # a diagnosis of before has none
    parts += [paragraph(f"If it is not that: {named(alike)}", "quiet")] if alike else []
    parts += [paragraph(f"Notes: {finding['notes']}", "quiet")] if finding["notes"] else []
    if finding["picture"]:
        from didact.draw.diagnosis import draw_finding
        from didact.draw.style import to_svg

        parts.append(drawing(to_svg(draw_finding(finding)), finding["picture"]["title"]))
    return "\n".join(parts)


# A run of ours, and codes


def _tell_run(directory: Path, arguments: argparse.Namespace) -> int:
    """What the doctor said of a run."""
    from didact.doctor.finding import Finding
    from didact.train.files import read_json

    path = directory / FILE
    if not path.is_file():
        if not (directory / "recipe.json").is_file():
            raise UsageError(f"{directory}: neither a script nor a run; a run's directory holds recipe.json")
        raise RunError(f"{directory}: no {FILE} in it: the doctor did not watch this run")
    said = read_json(path)
    if arguments.json != STDOUT:
        print(said["verdict"])
        for entry in said["findings"]:
            known = {k: v for k, v in entry.items() if k not in ("cause", "notes", "alike")}
            print(Finding(**known))
    _write(said, arguments, directory.resolve().name)
    return int(said["verdict"] not in HEALTHY)


def _entry(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code,
        "cause": cause.name,
        "family": cause.family,
        "rule": _rule(cause),
        "fix": cause.fix,
        "notes": cause.notes,
    } | ({"alike": named(cause.alike)} if cause.alike else {})


def _looked_for(cause: Cause) -> str:
    from didact.doctor.verdict import RULES

    rule = RULES.get(cause.code)
    words = " ".join((rule.__doc__ or "").split()) if rule else ""
    return words.removeprefix(f"{cause.code}: ") or "not found so far"


def _rule(cause: Cause) -> str:
    if cause.exact:
        return "a mechanical check, which is proof by itself"
    return "its own evidence and a symptom besides: stuck, unstable, or validation against training"


def _explain(cause: Cause, as_json: str | None) -> None:
    entry = _entry(cause) | {"looks for": _looked_for(cause)}
    if as_json:
        print(json.dumps(entry))
    else:
        print_pairs(list(entry.items()))


def _list(as_json: str | None) -> None:
    if as_json:
        print(json.dumps([_entry(cause) for cause in causes().values()]))
    else:
        print_table(("code", "cause", "family"), [(c.code, c.name, c.family) for c in causes().values()])
