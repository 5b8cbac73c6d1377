"""Accuracies on further test sets, as a table in long form and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.report.cells import CellResult
from stages.report.paper import convolutions
from stages.report.shares import share_interval
from stages.report.tables import markdown, per_cent
from stages.settings.groups import CellName
from stages.settings.prepare import OWN
from stages.store.extra_scores import extra_path, read_extra_scores
from stages.store.manifest import read_manifest

COLUMNS = [
    "set",
    "net",
    "corruption",
    "severity",
    "images",
    "accuracy",
    "low",
    "high",
    "drawn",
]
"""Of metrics/extra.csv. Without a corruption a line is about the mean over them, without a severity
about the mean over these; `drawn` is 1 for the nets that figure and page show."""

ASIDE = ("gaussian_blur", "saturate", "spatter", "speckle_noise")
"""Corruptions that the benchmark gives for choices by them; its means are over the other 15."""


@dataclass(frozen=True)
class ScoredSet:
    """A set and who is right on it.

    Attributes:
        name: of the set.
        corruptions: names of its parts; "" alone where nothing is corrupted.
        hits: net -> bool (parts, severities or 1, images).
    """

    name: str
    corruptions: tuple[str, ...]
    hits: Mapping[str, np.ndarray]


def scored_sets(
    folder: Path, outputs: Mapping[str, np.ndarray], labels: np.ndarray
) -> list[ScoredSet]:
    """The data set's own test images, and the sets of data/extra.

    Args:
        folder: data/extra.
        outputs: net -> logits (n, classes) on the own test images.
        labels: of these, (n,).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or has the scores of other nets.
    """
    hits = {net: (logits.argmax(1) == labels)[None, None] for net, logits in outputs.items()}
    sets = [ScoredSet(OWN, ("",), hits)]

    for name in read_manifest(folder)["sets"]:
        scores = read_extra_scores(extra_path(folder, name))
        if set(scores.nets) != set(outputs):
            differing = min(set(scores.nets) ^ set(outputs))
            raise ValueError(
                f"{folder} and params.yaml differ in the net {differing!r}: run 'dvc repro extra'"
            )
        sets.append(ScoredSet(name, scores.corruptions, {net: scores.hits(net) for net in outputs}))

    return sets


def drawn_nets(cells: Mapping[CellName, CellResult]) -> list[str]:
    """The nets that figure and page show: four at most.

    The ensemble, the best mimic net with and the best without convolution, and the best net on true
    labels; best by validation error.
    """
    kinds: dict[str, list[tuple[float, str]]] = {"conv": [], "mlp": [], "hard": []}
    for name, cell in cells.items():
        error = float(cell.shown["validation_error"].iloc[0])
        if name.group == "mimic":
            kinds["conv" if convolutions(cell.family) else "mlp"].append((error, name.words))
        if name.group == "hard":
            kinds["hard"].append((error, name.words))

    best = [min(nets, key=lambda net: net[0])[1] for nets in kinds.values() if nets]
    return ["ensemble", *best]


def table(sets: Sequence[ScoredSet], drawn: Sequence[str], level: float) -> pd.DataFrame:
    """All accuracies with their intervals, see COLUMNS.

    Args:
        sets: each with the same nets.
        drawn: nets that are drawn.
        level: of the intervals.
    """
    lines = [
        (each.name, net, *line, int(net in drawn))
        for each in sets
        for net, hits in each.hits.items()
        for line in _lines(each.corruptions, hits, level)
    ]
    frame = pd.DataFrame(lines, columns=COLUMNS)
    return frame.astype({"severity": "Int64"}).round({"accuracy": 6, "low": 6, "high": 6})


def _lines(
    corruptions: tuple[str, ...], hits: np.ndarray, level: float
) -> Iterator[tuple[str, int | None, int, float, float, float]]:
    """Lines of one net on one set: the mean over all, by severity, by corruption, by both."""
    counted = [i for i, name in enumerate(corruptions) if name not in ASIDE]
    counted = counted or [*range(len(corruptions))]
    images = hits.shape[2]

    def line(
        corruption: str, severity: int | None, part: np.ndarray
    ) -> tuple[str, int | None, int, float, float, float]:
        versions = part.reshape(-1, images)
        return corruption, severity, images, *share_interval(versions, level)

    yield line("", None, hits[counted])
    if corruptions == ("",):
        return

    severities = range(hits.shape[1])
    for severity in severities:
        yield line("", severity + 1, hits[counted, severity])
    for i, corruption in enumerate(corruptions):
        yield line(corruption, None, hits[i])
        for severity in severities:
            yield line(corruption, severity + 1, hits[i, severity])


def read_extra_table(metrics: Path) -> pd.DataFrame:
    """metrics/extra.csv, as `table` gave it.

    Args:
        metrics: the folder metrics/.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = metrics / "extra.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: run 'dvc repro assess' to have it made")

    try:
        # A set may be called NA, or 10.1: words are read as they stand, and numbers from them.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if list(frame.columns) != COLUMNS:
            raise ValueError(f"columns are {', '.join(frame.columns)}, wanted {', '.join(COLUMNS)}")

        for column in ("severity", "images", "accuracy", "low", "high", "drawn"):
            frame[column] = pd.to_numeric(frame[column].replace("", None))
        shares = frame[["accuracy", "low", "high"]].astype(float)
        if not ((shares >= 0) & (shares <= 1)).all(axis=None):
            raise ValueError("accuracies hold something else than fractions")
        return frame.astype({"severity": "Int64", "images": int, "drawn": int})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): run 'dvc repro --force assess'") from error


def to_markdown(frame: pd.DataFrame, where: str, level: float) -> str:
    """Tables of nets and sets, by severity, and by corruption for the nets that are drawn.

    Args:
        frame: as `table` gives it.
        where: data and scale.
        level: of the intervals.
    """
    if frame.empty:
        return "No further test sets: `prepare.extra_tests` names none.\n"

    percent = f"{100 * level:g}\u00a0%"
    caption = (
        f"**Further test sets** ({where}). Accuracy with its {percent} interval over images; best "
        f"trials by validation error. No net was trained on these sets or chosen by them; `{OWN}` are "
        "the data set's own test images."
    )
    whole = frame[(frame.corruption == "") & frame.severity.isna()]
    texts = [_wide(whole, "set", caption, intervals=True)]

    for name, part in frame[frame.severity.notna()].groupby("set", sort=False):
        own = whole[whole["set"] == OWN].assign(severity="none")
        means = part[part.corruption == ""]
        by_severity = pd.concat([own, means.astype({"severity": str}), _mean(whole, str(name))])
        texts.append(_wide(by_severity, "severity", f"**{name}** by severity, {_over(part)}."))

        single = frame[(frame["set"] == name) & (frame.corruption != "") & frame.severity.isna()]
        shown = single[single.drawn == 1]
        texts.append(
            _wide(shown, "net", f"**{name}** by corruption, over severities.", "corruption")
        )

    return "\n".join(texts)


def _mean(whole: pd.DataFrame, name: str) -> pd.DataFrame:
    return whole[whole["set"] == name].assign(severity="mean")


def _over(part: pd.DataFrame) -> str:
    """What the means of a set are over."""
    names = [name for name in dict.fromkeys(part.corruption) if name]
    counted = [name for name in names if name not in ASIDE] or names
    aside = [name for name in names if name not in counted]
    left = f", without {', '.join(aside)}" if aside else ""
    return f"mean over {len(counted)} corruption{'' if len(counted) == 1 else 's'}{left}"


def _wide(
    frame: pd.DataFrame, across: str, caption: str, down: str = "net", intervals: bool = False
) -> str:
    """A Markdown table: a line for each value of `down`, a column for each of `across`."""
    columns = list(dict.fromkeys(frame[across]))
    cells = {(line[down], line[across]): line for line in frame.to_dict("records")}

    lines = []
    for name in dict.fromkeys(frame[down]):
        texts = [_text(cells[name, column], intervals) for column in columns]
        lines.append([str(name), *texts])

    return markdown(caption, [down.capitalize(), *map(str, columns)], lines)


def _text(line: Mapping[str, float], interval: bool) -> str:
    text = per_cent(100 * line["accuracy"])
    if not interval:
        return text
    return f"{text} [{100 * line['low']:.1f}, {100 * line['high']:.1f}]"
