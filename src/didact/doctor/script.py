"""A script under observation: it runs as python would run it, and the worst of its trainings is told."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from didact.doctor.as_python import ended, module_as_main, script_as_main
from didact.doctor.observation import Observation, ScriptReport


def run_script(
    path: str | Path,
    args: Sequence[str] = (),
    *,
    module: bool = False,
    budget: float = 0.03,
    fail_fast: bool = False,
    quiet: bool = False,
) -> ScriptReport:
    """Run a script as ``python path args`` does, under observation.

    Its output, its errors and its files are its own. An error is shown as python shows it.

    Args:
        path: The script, or with ``module`` the name of a module as after ``python -m``.
        args: What the script finds in ``sys.argv[1:]``.
        module: Run a module.
        budget: Share of the run's time that the doctor may use.
        fail_fast: End the script at the first certain fault.
        quiet: Do not print what is certain before the first update.

    Returns:
        The report: the worst, where the script trains several times.

    Raises:
        UsageError: There is no such script or module.
    """
    prepare = module_as_main(str(path), args) if module else script_as_main(Path(path), args)
    with prepare as call, Observation(budget, fail_fast, quiet) as seen:
        code, whole = ended(call)
        sys.stdout.flush()
        if os.getpid() != seen.process:  # a child that the script forked
            raise SystemExit(code)
        seen.finish(whole)
        return seen.report(code)
