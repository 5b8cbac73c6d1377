"""tabulate: the metrics of all sweeps -> metrics/ (Table 1, Table 2, the numbers of Figure 1).

Reads metrics/teachers.*, metrics/ensemble.json and the cells that params.yaml lists, and no others:
a row that was taken out leaves its files behind. Writes metrics/tables.json (row -> budget -> test
accuracy in per cent), Table 1 and Table 2 as CSV and Markdown with the paper's values (Urban et al.
2017), metrics/figure1.csv, and what was trained again from other seeds beside the best of its
sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages.report import retrained
from stages.report.cells import CellResult, origin_words, read_cells, read_ensemble, read_teachers
from stages.report.tables import markdown1, markdown2, nested, table1, table2
from stages.runtime import entry
from stages.settings import results
from stages.settings.groups import GROUPS
from stages.settings.read import read_params
from stages.settings.sweeps import REPORTED_TRIALS
from stages.settings.transfer import ensemble
from stages.store.atomic import write_json, write_text

METRICS = Path("metrics")


def figure1_numbers(cells: list[CellResult]) -> pd.DataFrame:
    """Figure 1's numbers: of each cell, the mean, best and last test accuracy of the trials shown.

    The trials shown are the five best by validation error (section 3), or all where there are
    fewer; "best" and "fifth" follow that order, not the test accuracy.
    """
    rows = []
    for cell in cells:
        shown = cell.shown["test_accuracy"]
        rows.append(
            {
                "row": cell.row,
                "budget": cell.budget,
                "params": cell.params,
                "trials_shown": len(shown),
                "mean": round(shown.mean(), 6),
                "best": shown.iloc[0],
                "fifth": shown.iloc[-1],
            }
        )

    return pd.DataFrame(rows)


def caption1(searched: bool, where: str) -> str:
    """What stands above Table 1.

    Args:
        searched: whether there is a search of teachers.
    """
    teachers = "of the teachers' search the best three" if searched else "no teacher was searched"
    return (
        "**Table 1.** Test accuracy of nets trained on the true labels: of each search the best "
        f"trial by validation error, {teachers} ({where})."
    )


def caption2(members: int, origin: str, where: str) -> str:
    """What stands above Table 2.

    Args:
        origin: of members that no search has made; empty where there are none.
    """
    of = f"{members} ({origin})" if origin else str(members)
    return (
        f"**Table 2.** Test accuracy of nets trained to mimic the ensemble of {of}, the best "
        "trial of each by validation error; Figure 1's solid lines are means of up to "
        f"{REPORTED_TRIALS} trials ({where})."
    )


def caption_retrained(where: str) -> str:
    """What stands above the retrained nets."""
    return (
        "**Best of sweep and retrained.** Test accuracy of chosen hyperparameters, trained again "
        f"({where})."
    )


def write_all(accuracies: Mapping[str, Mapping[str, float]], texts: Mapping[str, str]) -> None:
    """metrics/tables.json, and every other file by its name."""
    write_json(METRICS / "tables.json", accuracies)
    for name, text in texts.items():
        write_text(METRICS / name, text)


def main() -> None:
    """Run the stage."""
    params = read_params()
    settings = results.tabulate(params)
    members = ensemble(params).members
    where = f"{results.data_name(params)}, {results.scale(params)} scale"

    # What was found.
    groups: dict[str, list[CellResult]] = {
        group: [*read_cells(METRICS, params, group).values()] for group in GROUPS
    }
    mimic = groups["mimic"]
    hard = groups["hard"]
    earlier = groups["teacher_2014"]

    teachers, best_teacher = read_teachers(METRICS) or (None, None)
    of_ensemble = read_ensemble(METRICS / "ensemble.json")

    # Table 1 and Table 2.
    mimicking = [*mimic, *groups["student_2014"]]
    accuracies = nested(
        [*mimicking, *groups["ablation"]], [*hard, *earlier], best_teacher, of_ensemble
    )

    # Their texts.
    above1 = caption1(teachers is not None, where)
    above2 = caption2(members, origin_words(of_ensemble), where)

    first = table1(hard, teachers, of_ensemble, members, settings.comparable, earlier)
    second = table2(mimicking, settings.comparable)

    # Nets trained again from other seeds.
    bias = retrained.selection_bias([cell for cells in groups.values() for cell in cells])
    again = retrained.retrained(groups)

    # The numbers of Figure 1.
    numbers = pd.concat(
        [
            figure1_numbers(mimic).assign(target="mimic"),
            figure1_numbers(hard).assign(target="hard"),
        ]
    )

    write_all(
        accuracies,
        {
            "table1.csv": first.to_csv(index=False),
            "table1.md": markdown1(first, above1, settings.comparable),
            "table2.csv": second.to_csv(index=False),
            "table2.md": markdown2(second, above2, settings.comparable),
            "retrained.csv": again.to_csv(index=False),
            "retrained.md": retrained.to_markdown(again, bias, caption_retrained(where)),
            "figure1.csv": numbers.to_csv(index=False),
        },
    )

    fewest = min(len(cell.shown) for cell in mimic)
    if fewest < REPORTED_TRIALS:
        print(
            f"tabulate: Figure 1 wants {REPORTED_TRIALS} trials a cell, the fewest here are {fewest}"
        )

    print(f"tabulate: Table 1, Table 2 and the numbers of Figure 1 in {METRICS}/")


if __name__ == "__main__":
    entry.run(main)
