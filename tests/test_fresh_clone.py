"""A fresh clone with nothing but Python and make: ``make demo`` and ``make test`` set up all they need.

Minutes long, since it installs everything twice from nothing: ``make clone``, which CI runs.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def bare() -> dict[str, str]:
    """An environment emptied of all but what finds programs, the home and pip's packages."""
    return {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("PIP_")}


def make(clone: Path, *words: str) -> str:
    done = subprocess.run(
        ["make", *words], cwd=clone, env=bare(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.clone
def test_demo_and_test_need_nothing_else(tmp_path):
    clone = tmp_path / "didact"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    told = make(clone, "demo")
    assert "epoch 60/60" in told
    accuracy = float(told.split("accuracy ")[-1].split()[0])
    assert accuracy > 0.95
    assert (clone / "runs/lenet5-digits-1/report.html").stat().st_size > 10_000
    assert " passed" in make(clone, "test", "TESTS=tests/test_layers.py tests/models/test_lenet.py")
    assert not subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout
