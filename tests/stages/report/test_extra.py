"""Accuracies on further test sets: which lines there are, what means are over, how it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.report import extra
from stages.report.extra import ScoredSet, drawn_nets, read_extra_table, scored_sets, table
from stages.report.shares import share_interval
from stages.settings.groups import CellName
from stages.store.extra_scores import ExtraScores, extra_path, write_extra_scores
from stages.store.manifest import write_manifest
from tests.helpers.page_parts import cell

NETS = ("ensemble", "mimic mlp1 60k")
CORRUPTIONS = ("fog", "frost", "spatter")


def hits(seed: int, parts: int, severities: int, images: int = 60) -> np.ndarray:
    """The less often right, the higher the severity."""
    rng = np.random.default_rng(seed)
    chance = np.linspace(0.9, 0.4, severities)[:, None]
    return rng.random((parts, severities, images)) < chance


def example() -> list[ScoredSet]:
    """The own images, a set of corrupted ones and one of others."""
    return [
        ScoredSet("test", ("",), {net: hits(i, 1, 1) for i, net in enumerate(NETS)}),
        ScoredSet("C", CORRUPTIONS, {net: hits(i, 3, 5) for i, net in enumerate(NETS)}),
        ScoredSet("10.1", ("",), {net: hits(i + 5, 1, 1, 20) for i, net in enumerate(NETS)}),
    ]


def line(frame: pd.DataFrame, **wanted: object) -> tuple[float, float, float]:
    """Accuracy, low and high of the one line with these values; None for no severity."""
    for name, value in wanted.items():
        frame = frame[frame[name].isna() if value is None else frame[name] == value]
    assert len(frame) == 1
    return tuple(frame.iloc[0][["accuracy", "low", "high"]])


def test_a_line_for_each_mean_and_each_part() -> None:
    sets = example()
    frame = table(sets, ["ensemble"], 0.9)
    assert list(frame.columns) == extra.COLUMNS
    assert len(frame) == 2 * (1 + (1 + 5 + 3 + 15) + 1)
    assert set(frame[frame.drawn == 1].net) == {"ensemble"}
    assert frame[frame["set"] == "10.1"].images.tolist() == [20, 20]
    assert set(frame[frame["set"] == "C"].images) == {60}, "different images, not versions of them"

    net = NETS[1]
    own = sets[1].hits[net]
    single = line(frame, set="C", net=net, corruption="frost", severity=4)
    assert single == pytest.approx(share_interval(own[1, 3][None], 0.9), abs=1e-6)
    over = line(frame, set="C", net=net, corruption="frost", severity=None)
    assert over == pytest.approx(share_interval(own[1], 0.9), abs=1e-6)


def test_means_leave_out_what_the_benchmark_gives_for_choices() -> None:
    sets = example()
    frame = table(sets, [], 0.95)
    own = sets[1].hits["ensemble"]
    by_severity = line(frame, set="C", net="ensemble", corruption="", severity=2)
    assert by_severity[0] == pytest.approx(own[:2, 1].mean(), abs=1e-6)
    mean = line(frame, set="C", net="ensemble", corruption="", severity=None)
    assert mean[0] == pytest.approx(own[:2].mean(), abs=1e-6)

    alone = ScoredSet("C", ("spatter",), {"ensemble": own[2:]})
    only = line(table([alone], [], 0.95), corruption="", severity=None)
    assert only[0] == pytest.approx(own[2].mean(), abs=1e-6), "nothing else is there"


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    frame = table(example(), ["ensemble"], 0.95)
    (tmp_path / "extra.csv").write_text(frame.to_csv(index=False))
    again = read_extra_table(tmp_path)
    pd.testing.assert_frame_equal(again, frame, check_dtype=False)
    assert set(again["set"]) == {"test", "C", "10.1"}

    empty = table([], [], 0.95)
    (tmp_path / "extra.csv").write_text(empty.to_csv(index=False))
    assert read_extra_table(tmp_path).empty


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("severity", "level", "columns are"),
        ("0.", "7.", "fractions"),
        ("0.", "x", "damaged"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = table(example(), [], 0.95).to_csv(index=False)
    (tmp_path / "extra.csv").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=words) as error:
        read_extra_table(tmp_path)
    assert "extra.csv" in str(error.value) and "dvc repro --force assess" in str(error.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"extra.csv not found"):
        read_extra_table(tmp_path)


def test_markdown_has_nets_and_sets_then_severities_then_corruptions() -> None:
    text = extra.to_markdown(table(example(), ["ensemble"], 0.95), "toy data, smoke scale", 0.95)
    tables = text.split("**")[1::2]
    assert tables == ["Further test sets", "C", "C"]
    assert "| Net | test | C | 10.1 |" in text and "toy data, smoke scale" in text
    assert "| Net | none | 1 | 2 | 3 | 4 | 5 | mean |" in text
    assert "mean over 2 corruptions, without spatter" in text
    assert "| Corruption | ensemble |" in text and "| spatter | " in text
    mean = hits(0, 3, 5)[:2].mean()
    assert text.count(f"{100 * mean:.2f}\u00a0%") >= 2, "in the first table and in the second"


def test_without_sets_the_page_says_so() -> None:
    text = extra.to_markdown(table([], [], 0.95), "toy", 0.95)
    assert text == "No further test sets: `prepare.extra_tests` names none.\n"


def test_drawn_are_the_best_of_each_kind() -> None:
    cells = {
        CellName("mimic", row, budget): cell(row, budget, error, 1 - error, family=family)
        for row, budget, error, family in (
            ("mlp1", "60k", 0.5, "mlp1"),
            ("mlp2", "60k", 0.4, "mlp2"),
            ("conv1", "60k", 0.3, "conv1"),
            ("narrow", "60k", 0.2, "conv2"),
        )
    }
    cells[CellName("hard", "conv1", "180k")] = cell("conv1", "180k", 0.45, 0.5)
    cells[CellName("hard", "mlp1", "180k")] = cell("mlp1", "180k", 0.35, 0.5)
    cells[CellName("ablation", "plain", "60k")] = cell("plain", "60k", 0.1, 0.9)

    drawn = drawn_nets(cells)
    assert drawn == ["ensemble", "mimic narrow 60k", "mimic mlp2 60k", "hard mlp1 180k"]


def stored(folder: Path, nets: tuple[str, ...]) -> None:
    labels = np.tile([0, 1, 2], 5)
    named = np.stack([np.stack([labels, (labels + i) % 3]) for i, _ in enumerate(nets)])
    scores = ExtraScores(nets, ("fog", "frost"), 5, labels, named)
    write_extra_scores(extra_path(folder, "C"), scores)
    write_manifest(folder, {"sets": ["C"]})


def test_scores_are_those_of_the_stored_classes(tmp_path: Path) -> None:
    stored(tmp_path, NETS)
    logits = np.eye(3, dtype=np.float32)
    own, other = scored_sets(tmp_path, dict.fromkeys(NETS, logits), np.array([0, 1, 1]))
    assert own.hits["ensemble"].tolist() == [[[True, True, False]]]
    assert other.corruptions == ("fog", "frost") and other.name == "C"
    assert other.hits["ensemble"].all() and other.hits["ensemble"].shape == (2, 5, 3)
    assert other.hits[NETS[1]][0].all() and not other.hits[NETS[1]][1].any()


def test_scores_of_other_nets_are_refused(tmp_path: Path) -> None:
    stored(tmp_path, NETS)
    outputs = dict.fromkeys([*NETS, "hard conv1 180k"], np.eye(3))
    with pytest.raises(ValueError, match="differ in the net 'hard conv1 180k'"):
        scored_sets(tmp_path, outputs, np.array([0, 1, 1]))
