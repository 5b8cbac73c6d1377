"""From a budget of parameters to the widths of a student, without torch; also a command.

    python -m stages.nets.budget ROW BUDGET C... [--hard] [--box LOW HIGH ...] [--multiple M]

prints the widths of one net as a line of JSON: with the boxes of scales/paper.yaml for the rows
that it has (those of the nearest budget where it has none for BUDGET), or with a --box per control.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stages.nets.families import FAMILIES, Plan, control_names, family_of, layers_of
from stages.nets.layers import (
    check_box,
    check_control,
    check_multiple,
    count,
    macs,
    to_multiple,
    width_in,
)
from stages.settings.budgets import parse_budget
from stages.settings.inputs import CIFAR_IMAGES, Inputs

DEPENDENT_MIN = 10  # Urban et al. 2017, section 6.3 leaves it open: no bottleneck below 10 units
BOXES_FILE = Path(__file__).resolve().parents[2] / "scales" / "paper.yaml"

Count = Callable[[Sequence[int], int | None], int]
"""Parameters of a net with these optimised widths and this dependent one."""


def plan(
    family: str,
    budget: int,
    controls: Sequence[float],
    box: Sequence[tuple[int, int]] | None,
    *,
    classes: int = 10,
    inputs: Inputs = CIFAR_IMAGES,
    ratio_min: float = 0.05,
    multiple: int = 1,
) -> Plan:
    """Widths of a student of about `budget` parameters (Urban et al. 2017, sections 2.3 and 6.3).

    One width is not free: it takes what the others leave of the budget (all of it in `mlp1-plain`).
    Assumption (19): it is the nearest whole number. `mlp2` to `mlp5` scale all widths by one factor
    instead. Ours: with a `multiple` above 1 the searched widths are rounded to it, even where that
    leaves a box, and the dependent one is the multiple that comes nearest to the budget. `rel_err`
    says what that costs.

    Args:
        family: a key of `FAMILIES`.
        budget: weights and biases, the output layer included.
        controls: one number in [0, 1] per control (C1, C2); for `mlp2` to `mlp5` a ratio in
            [ratio_min, 1] per layer.
        box: (low, high) width of each control; None for `mlp2` to `mlp5`; empty or None for a
            family without controls.
        classes: outputs.
        inputs: what the net sees; vectors for families without convolutions only.
        ratio_min: smallest width ratio, in (0, 1]. Ours: the paper's ratios start at 0.
        multiple: all widths but the output's are multiples of it; 1 are the paper's nets.

    Raises:
        ValueError: an unknown family, a wrong number of controls or boxes, a control outside its
            interval, a box that is not 1 <= low <= high, images too small for the pools,
            convolutions for vectors, a budget below the smallest net, a multiple below 1.
    """
    known = family_of(family)
    check_multiple(multiple, "students.width_multiple or hard.width_multiple")

    if classes < 1:
        raise ValueError(
            f"classes and size_px must be at least 1, got {classes} and {inputs.size_px}"
        )

    _check_controls(family, controls, ratio_min)

    def counted(widths: Sequence[int], dependent: int | None) -> int:
        return count(layers_of(family, widths, dependent, classes, inputs))

    # Ratios are scaled to the budget; a box leaves one width, which fills it.
    dependent: int | None = None
    if known.ratios:
        if box is not None:
            raise ValueError(f"{family} has width ratios and no box, got {box}: remove the box")

        features = math.prod(inputs.map)
        widths = _scaled(family, budget, controls, features, classes, counted, multiple)
    else:
        wanted = _widths_in(family, box, controls)
        widths, dependent = _filled(family, budget, wanted, counted, multiple)

    params = counted(widths, dependent)
    return Plan(family, widths, dependent, params, params / budget - 1, inputs, classes)


def forward_macs(plan: Plan) -> int:
    """Multiply-accumulates of one image in a forward pass."""
    return macs(plan.layers)


def _check_controls(family: str, controls: Sequence[float], ratio_min: float) -> None:
    known = FAMILIES[family]
    if not 0 < ratio_min <= 1:
        raise ValueError(
            f"the smallest ratio must be in (0, 1], got {ratio_min}: change rows.{family}.ratios"
        )

    if len(controls) != known.controls:
        per = "layer" if known.ratios else f"box of rows.{family}.boxes"
        give = (
            f"give one per {per}" if known.controls else "give none, its one width fills the budget"
        )
        raise ValueError(f"{family} has {known.controls} controls, got {len(controls)}: {give}")

    for index, value in enumerate(controls, start=1):
        name = f"{'r' if known.ratios else 'C'}{index} of {family}"
        low = ratio_min if known.ratios else 0
        check_control(name, value, low, f"the controls of rows.{family}")


def _widths_in(
    family: str, box: Sequence[tuple[int, int]] | None, controls: Sequence[float]
) -> list[float]:
    """The optimised widths that the controls choose from their boxes, before rounding."""
    known = FAMILIES[family]
    boxes = box or ()
    if len(boxes) != known.controls:
        change = "change" if known.controls else "remove"
        raise ValueError(
            f"{family} has {known.controls} width boxes, got {box}: {change} rows.{family}.boxes"
        )

    for ends in boxes:
        check_box(ends, f"rows.{family}.boxes")
    return [width_in(boxes[group], controls[group]) for group in known.groups]


def _filled(
    family: str, budget: int, wanted: Sequence[float], counted: Count, multiple: int
) -> tuple[tuple[int, ...], int]:
    """Optimised widths, made smaller where they leave too little, and the dependent width."""
    least = multiple * math.ceil(DEPENDENT_MIN / multiple)

    def at(factor: float) -> tuple[tuple[int, ...], int]:
        widths = tuple(to_multiple(factor * width, multiple) for width in wanted)
        fixed = counted(widths, 0)  # the count is linear in the dependent width
        per_unit = counted(widths, 1) - fixed
        return widths, multiple * round((budget - fixed) / (multiple * per_unit))

    widths, dependent = at(1.0)
    if dependent >= least:
        return widths, dependent

    widths, dependent = at(0.0)
    if dependent < least:
        raise _too_small(family, budget, counted(widths, least), multiple)

    # Bisection: widths never fall with the factor, so the dependent one never rises.
    low = 0.0
    high = 1.0
    middle = 0.5
    while low < middle < high:
        if at(middle)[1] >= least:
            low = middle
        else:
            high = middle
        middle = (low + high) / 2

    return at(low)


def _scaled(
    family: str,
    budget: int,
    ratios: Sequence[float],
    features: int,
    classes: int,
    counted: Count,
    multiple: int,
) -> tuple[int, ...]:
    """Widths in the given ratios; the last one takes what rounding left of the budget.

    Rounding the first width leaves up to half of `features` (the net's inputs) parameters, which
    can be more than a narrow last layer holds. Ours: it never loses more than half of its units;
    the first layer gives up one of its own instead (a `multiple` above 1 only where that comes
    nearer to the budget). Nor does it more than double, so that far below the paper's budgets the
    ratios keep their meaning and `rel_err` says what that costs.
    """
    smallest = counted([multiple] * len(ratios), None)
    if budget < smallest:
        raise _too_small(family, budget, smallest, multiple)

    # The count is square * s**2 + linear * s + classes: s is the positive root.
    square = sum(a * b for a, b in zip(ratios, ratios[1:], strict=False))
    linear = features * ratios[0] + sum(ratios) + classes * ratios[-1]
    rest = budget - classes
    scale = 2 * rest / (linear + math.sqrt(linear**2 + 4 * square * rest))

    widths = [to_multiple(scale * ratio, multiple) for ratio in ratios]
    last = widths[-1]
    least = multiple * math.ceil(last / (2 * multiple))

    def filled(first: int) -> tuple[int, tuple[int, ...]]:
        """The last width that fills the budget, and all widths with it kept within its bounds."""
        others = (first, *widths[1:-1])
        rest = budget - counted((*others, last), None)
        wanted = last + multiple * round(rest / (multiple * (others[-1] + classes + 1)))
        return wanted, (*others, min(max(wanted, least), 2 * last))

    wanted, kept = filled(widths[0])
    if wanted >= least or widths[0] == multiple:
        return kept

    # The last layer would lose too much: the first one is narrower by one step.
    _, narrower = filled(widths[0] - multiple)
    nearer = abs(counted(narrower, None) - budget) < abs(counted(kept, None) - budget)
    return narrower if multiple == 1 or nearer else kept


def _too_small(family: str, budget: int, smallest: int, multiple: int) -> ValueError:
    """The error of a budget below the smallest net."""
    known = FAMILIES[family]
    lower = f", or lower width_multiple {multiple}" if multiple > 1 else ""
    boxes = f", whatever rows.{family}.boxes" if known.controls and not known.ratios else ""
    return ValueError(
        f"budget {budget:,} is too small for {family}: its smallest net has {smallest:,} parameters"
        f" at these images and classes{boxes}; raise students.budgets{lower}"
    )


def _row_settings(row: str, budget: int, hard: bool) -> dict[str, Any]:
    """`box` or `ratio_min` of a row, from the paper's scale."""
    from ruamel.yaml import YAML  # the command alone reads a file

    if not BOXES_FILE.is_file():
        raise FileNotFoundError(f"no {BOXES_FILE}: give a --box LOW HIGH per control")

    section = "hard_rows" if hard else "rows"
    rows = YAML(typ="safe").load(BOXES_FILE.read_text(encoding="utf-8"))[section]
    if row not in rows:
        names = ", ".join(control_names(row))
        give = "" if FAMILIES[row].ratios else f"give a --box LOW HIGH for each of {names}, or "
        raise ValueError(
            f"{section} of scales/paper.yaml has no {row!r}: {give}choose one of {', '.join(rows)}"
        )

    if "boxes" not in rows[row]:
        return {"box": None, "ratio_min": rows[row]["ratios"][0]}

    boxes = rows[row]["boxes"]
    nearest = min(boxes, key=lambda label: abs(math.log(parse_budget(label) / budget)))
    return {"box": [tuple(ends) for ends in boxes[nearest]]}


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see python -m stages.nets.budget --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one plan as a line of JSON; 1 and one line on stderr where the input is bad."""
    try:
        asked = _parser().parse_args(arguments)
        budget = parse_budget(asked.budget)
        boxed = asked.box or not family_of(asked.row).controls
        settings = {"box": asked.box} if boxed else _row_settings(asked.row, budget, asked.hard)
        net = plan(asked.row, budget, asked.controls, multiple=asked.multiple, **settings)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    line = {
        "widths": net.widths,
        "dependent": net.dependent,
        "params": net.params,
        "rel_err": round(net.rel_err, 6),
    }
    print(json.dumps(line))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(prog="python -m stages.nets.budget", description=__doc__.split(":")[0])
    parser.add_argument("row", help=", ".join(FAMILIES))
    parser.add_argument("budget", help="parameters: 1M, 3.16M, 100k, 250000")
    parser.add_argument("controls", nargs="*", type=float, metavar="C", help="C1, C2 or ratios")
    parser.add_argument("--hard", action="store_true", help="boxes of the nets on hard labels")
    parser.add_argument("--box", nargs=2, type=int, action="append", metavar=("LOW", "HIGH"))
    parser.add_argument(
        "--multiple", type=int, default=1, metavar="M", help="all widths are multiples of M; 1"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
