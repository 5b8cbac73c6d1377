"""What the process of a sweep imports before it has anything to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools.pocket import ROOT

HEAVY = ("torch", "scipy", "GPyOpt", "pandas", "matplotlib")


@pytest.mark.parametrize("stage", ["teachers", "students"])
def test_a_sweep_starts_without_heavy_imports(stage: str) -> None:
    """Each cell pays for them: scipy for its first proposals only, torch in its trials' server."""
    code = f"import sys, stages.{stage}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
