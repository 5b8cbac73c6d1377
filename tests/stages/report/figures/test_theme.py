"""How all figures look: legible texts, and the same bytes in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from stages.report.figures import outputs
from stages.report.figures.claims import claims
from stages.report.figures.extra import extra
from stages.report.figures.theme import save
from tests.helpers import extra_sets
from tests.helpers.figure_data import (
    NETS,
    PAPER,
    answers,
    cells,
    confused,
    curves,
    overlaps,
    words,
)
from tools.pocket import ROOT


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


WHERE = "toy data, smoke scale"


FIGURES: dict[str, Callable[[], Figure]] = {
    "claims": lambda: claims(answers(["60k", "180k"]), WHERE),
    "claims of the paper's budgets": lambda: claims(answers(PAPER), WHERE),
    "confusions": lambda: outputs.confusions(confused(3, 10), list("abcdefghij"), WHERE),
    "confusions of 100": lambda: outputs.confusions(
        confused(4, 100), [str(i) for i in range(100)], WHERE
    ),
    "calibration": lambda: outputs.calibration(*curves(["ensemble", "conv4", "mlp1"]), WHERE),
    "fidelity": lambda: outputs.fidelity(cells(["60k", "180k"]), NETS, WHERE),
    "further test sets": lambda: extra(
        extra_sets.accuracies(["cifar10-c", "other-c"], ["cifar10.1-v4", "cifar10.1-v6"]),
        "test",
        WHERE,
    ),
    "one further test set": lambda: extra(extra_sets.accuracies([], ["mine"]), "test", WHERE),
    "fidelity of the paper's budgets": lambda: outputs.fidelity(cells(PAPER), NETS, WHERE),
}


COSTLY = (
    *("claims of the paper's budgets", "confusions", "confusions of 100"),
    "fidelity of the paper's budgets",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.middle] * (name in COSTLY)) for name in FIGURES],
)
def test_bytes_are_fixed_and_texts_legible(name: str, tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        for i in range(2):
            save(FIGURES[name](), tmp_path / f"{i}.{suffix}")
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    figure = FIGURES[name]()
    figure.canvas.draw()
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    assert min(sizes) >= 6.5
    assert any(WHERE in text for text in words(figure))
    assert overlaps(figure) == []
    width = plt.imread(tmp_path / "0.png").shape[1]
    assert 600 <= width <= 1500, "shown 1000 pixels wide, a letter keeps two thirds of its size"


PROCESS = """
import sys
from pathlib import Path
from tests.stages.report.figures.test_theme import FIGURES, save
for i, draw in enumerate(FIGURES.values()):
    save(draw(), Path(sys.argv[1]) / f"{i}.svg")
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    found = []
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
        subprocess.run(
            [sys.executable, "-c", PROCESS, str(tmp_path / seed)], cwd=ROOT, check=True, env=env
        )
        files = sorted((tmp_path / seed).iterdir())
        found.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert len(found[0]) == len(FIGURES) and found[0] == found[1]
