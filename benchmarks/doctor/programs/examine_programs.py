"""The doctor on programs: `didact doctor NAME.py`, for one program of each subject of a course.

    python benchmarks/doctor/programs/examine_programs.py                   all, unwatched and watched
    python benchmarks/doctor/programs/examine_programs.py --beside "first contact"   watched alone
    python benchmarks/doctor/programs/examine_programs.py --only gan_ring   printed and not written down

The programs here were written from the definitions of the causes by writers who had not seen the doctor,
each in its own way: sound, and with faults that its docstring lists as `name: CODES`, the true code first.
A fault's name is the program's argument. What a program prints last is its score, 0 to 1, on clean held-out
data; `reported` is what its own loop believes. A fault counts if it does harm by that, or if `!` says that
it is wrong by itself.

Each run is a process of its own. It has to print the same, letter by letter, with the doctor and without;
--beside takes the unwatched runs of an earlier entry, whose scores have to be the same to the last digit.
Prints what was not named; writes --out under the name --as: the first contact of the rules with these
programs is kept there beside the present one.
"""

import argparse
import ast
import collections
import json
import math
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from run import circumstances, save
from totals import at_most, shares

from didact.doctor.finding import BROKEN

HERE = Path(__file__).parent
RESULT = HERE.parents[1] / "results" / "doctor_programs.json"
HARM = 0.15  # by which a score is lower, or a reported one too high
FAULT = re.compile(r"^([^:\n]+): ([A-Z]\d\d(?: [A-Z]\d\d)*)( !)?$", re.M)


@dataclass(frozen=True)
class Listed:
    """What is wrong in a run of a program; nothing, where ``accepts`` is empty."""

    program: str
    fault: str = ""
    accepts: tuple[str, ...] = ()
    exact: bool = False

    @property
    def name(self) -> str:
        return f"{self.program}/{self.fault or 'sound'}"


def programs() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if path != Path(__file__))


def listed(program: str) -> list[Listed]:
    """The sound run, and one of each fault."""
    told = ast.get_docstring(ast.parse((HERE / f"{program}.py").read_text(encoding="utf-8"))) or ""
    faults = FAULT.findall(told)
    return [Listed(program)] + [
        Listed(program, name, tuple(codes.split()), bool(exact)) for name, codes, exact in faults
    ]


def run(case: Listed, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """A program alone, unless it is ``known`` how that ends, then watched."""
    path = HERE / f"{case.program}.py"
    arguments = [case.fault] if case.fault else []
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.json"
        alone, cpu = call([str(path), *arguments]) if known is None else ("", known["cpu"][0])
        watched, more = call(["-m", "didact", "doctor", str(path), "--json", str(said), "--", *arguments])
        report = json.loads(said.read_text(encoding="utf-8"))
    findings = [(finding["code"], finding["severity"]) for finding in report["findings"]]
    return {
        "name": case.name,
        "scores": scores(watched),
        "different": alone != watched if known is None else scores(watched) != tuple(known["scores"]),
        "causes": [code for code, severity in findings if severity != "hint"],
        "hints": [code for code, severity in findings if severity == "hint"],
        "cpu": [cpu, more],
    }


def _run(job: tuple[Listed, dict[str, Any] | None]) -> dict[str, Any]:
    return run(*job)


def call(arguments: list[str]) -> tuple[str, float]:
    """What a process of python prints, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def scores(printed: str) -> tuple[float, float]:
    """The score, and what the loop reports; what does not end in a number is worth nothing."""
    found = {name: float(number) for name, number in re.findall(r"^(score|reported) (\S+)$", printed, re.M)}
    score = found.get("score", math.nan)
    reported = found.get("reported", score)
    return (score if math.isfinite(score) else 0.0, reported if math.isfinite(reported) else 0.0)


def harmed(case: Listed, record: dict[str, Any], sound: dict[str, Any]) -> bool:
    """Whether a fault counts."""
    (score, told), (usual, usually_told) = record["scores"], sound["scores"]
    return case.exact or usual - score >= HARM or (told - score) - (usually_told - usual) >= HARM


def found(case: Listed, record: dict[str, Any]) -> dict[str, bool]:
    """What one run adds to the totals."""
    causes, codes = record["causes"], [*record["causes"], *record["hints"]]
    common = {"different": record["different"], "errors": BROKEN in codes}
    if not case.accepts:
        return common | {"healthy": True, "alarms": bool(causes)}
    return common | {
        "faulty": True,
        "flagged": bool(causes),
        "first": bool(set(causes[:1]) & set(case.accepts)),
        "first three": bool(causes) and bool(set(codes[:3]) & set(case.accepts)),
    }


def judge(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count, and print what was not named."""
    by_name = {record["name"]: record for record in records}
    total: collections.Counter[str] = collections.Counter()
    for case in [case for name in by_name if name.endswith("/sound") for case in listed(name.split("/")[0])]:
        record = by_name[case.name]
        if case.accepts and not harmed(case, record, by_name[f"{case.program}/sound"]):
            continue
        seen = found(case, record)
        total.update({name: int(value) for name, value in seen.items()})
        if seen.get("alarms") or not seen.get("first", True):
            wanted, said = (" ".join(codes) or "nothing" for codes in (case.accepts, record["causes"]))
            print(f"{case.name}: {wanted}, not {said} ({' '.join(record['hints'])})")
    bound = round(at_most(total["alarms"], total["healthy"]), 4)
    return {"total": dict(total), "shares": shares(total) | {"at most": bound}}


def main() -> None:
    """Run, judge, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=programs(), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--beside", metavar="ENTRY", help="take the unwatched runs of this entry")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--as", dest="entry", default="now", help="name of the entry: now, or first contact")
    options = parser.parse_args()
    cases = [case for program in options.only or programs() for case in listed(program)]
    records = []
    entries = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    before = entries[options.beside]["runs"] if options.beside else {}
    jobs = [(case, before.get(case.name)) for case in cases]
    with multiprocessing.Pool(options.jobs) as pool:
        for k, record in enumerate(pool.imap_unordered(_run, jobs), 1):
            records.append(record)
            if k % 20 == 0:
                print(f"{k} of {len(jobs)}", file=sys.stderr, flush=True)
    result = judge(records)
    print(json.dumps(result, indent=1))
    if options.only is None:
        runs = {record.pop("name"): record for record in sorted(records, key=lambda record: record["name"])}
        save(options.out, {options.entry: circumstances() | result | {"runs": runs}})


if __name__ == "__main__":
    main()
