"""Run a script or a module as python does: its ``sys.argv``, its ``__main__``, its way of ending."""

import functools
import os
import runpy
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from didact.errors import UsageError


class Stop(BaseException):
    """Ends a script from inside; no ``except Exception`` of its own holds it up."""


@contextmanager
def script_as_main(path: Path, args: Sequence[str]) -> Iterator[Callable[[], Any]]:
    """What ``python path args`` would run, as a call.

    Raises:
        UsageError: There is no such file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a script, such as didact doctor train.py")
    whole = path.resolve()
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=str(path.absolute()), __cached__=None, __builtins__=__builtins__)

    def call() -> None:
        code = compile(whole.read_bytes(), str(path.absolute()), "exec", dont_inherit=True)
        exec(code, main.__dict__)

    with _interpreter([str(path), *args], str(whole.parent)):
        before, sys.modules["__main__"] = sys.modules["__main__"], main
        try:
            yield call
        finally:
            sys.modules["__main__"] = before


@contextmanager
def module_as_main(name: str, args: Sequence[str]) -> Iterator[Callable[[], Any]]:
    """What ``python -m name args`` would run, as a call.

    Raises:
        UsageError: Python could not run such a module.
    """
    with _interpreter([name, *args], os.getcwd()):
        found = None
        with suppress(ImportError, ValueError):
            found = runpy._get_module_details(name)  # type: ignore[attr-defined]
        if found is None:
            raise UsageError(f"-m {name}: no such module that python could run; is it on sys.path?")
        yield functools.partial(runpy.run_module, name, run_name="__main__", alter_sys=True)


@contextmanager
def _interpreter(argv: list[str], folder: str) -> Iterator[None]:
    """``sys.argv``, and the folder that imports look into first."""
    before = sys.argv, list(sys.path)
    sys.argv, sys.path[:1] = argv, [folder]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = before


def ended(call: Callable[[], Any]) -> tuple[int, bool]:
    """Call it; its exit code, and whether it came to its end."""
    try:
        call()
        for thread in filter(_holds_up, threading.enumerate()):
            thread.join()
    except Stop:
        return 0, False
    except KeyboardInterrupt:
        return 130, False
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0, not stop.code
        print(stop.code, file=sys.stderr)
        return 1, False
    except BaseException as error:
        sys.stdout.flush()
        error.__traceback__ = _without_ours(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1, False
    return 0, True


def _holds_up(thread: threading.Thread) -> bool:
    """Whether python waits for a thread at its end; those of executors are told to go home first."""
    target = getattr(thread, "_target", None) or type(thread)
    pooled = str(target.__module__).startswith("concurrent.")
    return not (thread.daemon or pooled or thread is threading.current_thread())


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """A traceback without the frames that python would not have had."""
    if trace is None:
        return None
    rest = _without_ours(trace.tb_next)
    file = trace.tb_frame.f_code.co_filename
    if file.startswith(str(Path(__file__).parent)) or "runpy" in file:
        return rest
    return types.TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
