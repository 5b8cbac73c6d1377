"""progress: the bar over a sweep's trials."""

from __future__ import annotations

import json
from pathlib import Path

from stages.trials.folder import TrialFolder
from stages.trials.progress import SweepProgress


def test_progress_file_and_bar(tmp_path: Path) -> None:
    trial = TrialFolder(tmp_path, 0)
    trial.report(3, float("inf"), 0.25)
    assert json.loads(trial.progress.read_text()) == {"epoch": 3, "loss": None, "error": 0.25}
    with SweepProgress("x", 3, 8, lambda i: TrialFolder(tmp_path, i).progress) as progress:
        progress.event("start", 0, {})
        progress.event("start", 1, {})
        progress._show()
        assert progress.bar.n == 0.5
        assert "#0 epoch 4/8 error 0.250" in progress.bar.postfix
        progress.event("done", 0, {"value": 0.2})
        progress.event("done", 1, {"value": None})
        progress._show()
        assert progress.bar.n == 2 and progress.best == 0.2
