"""How cost grows with images, epochs, parameters, trials and cells, with a power law for each.

Each alternative of `benchmarks.measure` is one size; sizes take turns. Through the medians goes a
power law, fitted by least squares on logarithms: cost ~ size ** exponent. A row's ratio is the cost
of growth in proportion over ours from the smallest to the largest size, so above 1 we grow more
slowly than in proportion. CPU-seconds on one thread; with `--device cuda` training and views run
there, by the clock. `--plot` draws every case on logarithmic axes.

- images: an epoch of training of a 100k conv2, an epoch of views, the bytes of one stored epoch.
- epochs: storing and reading that many epochs, their bytes.
- parameters: training on the same images, nets in the middle of the boxes of the scales cpu and
  paper; the exponent of their operations beside it, since wider boxes have larger feature maps.
  Bytes of the weights.
- trials: one suggestion of the search in 18 dimensions after so many results.
- cells: a `dvc repro` with nothing to do, for so many stages (not with --quick). What cells compute
  is their sum.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from benchmarks import dag, measure, rates, search, train
from benchmarks.measure import Cost, Row
from commands.scale import compose
from stages.fit.loop import Recipe, Steps
from stages.fit.step import SGD
from stages.nets.budget import forward_macs, plan
from stages.nets.families import FAMILIES, Plan
from stages.nets.initial import glorot_
from stages.nets.student import build_student
from stages.report.tables import millions
from stages.runtime.device import choose_device, set_up_torch
from stages.search.propose import Settings, ask, sobol_point
from stages.settings.budgets import parse_budget
from stages.settings.students import row
from stages.store.weights import save_weights

BUDGETS = {"100k": "cpu", "316k": "cpu", "1M": "paper", "3.16M": "paper"}
"""Budget to the scale whose boxes its net has."""
PROPORTIONAL = "proportional"
Sized = Mapping[float, Callable[[], int | Cost]]
"""Size to something that does the work of that size and returns 1, the unit."""


@dataclass(frozen=True)
class Growth:
    """The cost of something at several sizes.

    Attributes:
        case: what is done, and what grows.
        size: what a size counts.
        cost: "CPU-seconds", "seconds" or "bytes".
        points: size, median, lowest and highest cost.
        exponent: of the power law through the medians.
        r2: share of the variance of the logarithms that it explains.
        ratios: for each turn, growth in proportion over ours from the first to the last size.
        more: what belongs to the points besides.
    """

    case: str
    size: str
    cost: str
    points: list[tuple[float, float, float, float]]
    exponent: float
    r2: float
    ratios: list[float]
    more: dict[str, Any]


def power_law(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float, float]:
    """Exponent, factor and r2 of costs ~ factor * sizes ** exponent, least squares on
    logarithms."""
    x = np.log(sizes)
    y = np.log(costs)
    exponent, offset = np.polyfit(x, y, 1)
    rest = float(((y - offset - exponent * x) ** 2).sum())
    spread = float(((y - y.mean()) ** 2).sum())
    return float(exponent), math.exp(offset), 1.0 - rest / spread if spread else 1.0


def growth(
    case: str, size: str, cost: str, turns: Mapping[float, Sequence[float]], **more: Any
) -> Growth:
    """From the costs of every turn at every size, sizes rising."""
    sizes = list(turns)
    points = [(x, statistics.median(turns[x]), min(turns[x]), max(turns[x])) for x in sizes]
    exponent, _, r2 = power_law(sizes, [point[1] for point in points])
    factor = sizes[-1] / sizes[0]
    ratios = [
        factor / (last / first)
        for first, last in zip(turns[sizes[0]], turns[sizes[-1]], strict=True)
    ]
    return Growth(case, size, cost, points, exponent, r2, ratios, more)


def timed(
    case: str,
    size: str,
    sized: Sized,
    turns: int,
    wall: bool = False,
    warm: bool = True,
    **more: Any,
) -> Growth:
    """`turns` of every size, after one that is not counted where it has to be warm."""
    named = {str(x): run for x, run in sized.items()}
    for run in named.values() if warm else ():
        run()
    costs = measure.interleaved(named, turns)
    clocks = {x: [cost.wall_s for cost in costs[str(x)]] for x in sized}
    taken = clocks if wall else {x: [cost.cpu_s for cost in costs[str(x)]] for x in sized}
    walls = [statistics.median(each) for each in clocks.values()]
    more |= {"wall_s": walls, "wall_exponent": power_law(list(sized), walls)[0]}
    return growth(case, size, "seconds" if wall else "CPU-seconds", taken, **more)


def as_row(found: Growth) -> Row:
    """Proportional growth beside ours."""
    first = found.points[0]
    last = found.points[-1]

    span = f"{found.size} {first[0]:,.0f} .. {last[0]:,.0f}"
    more = f"{found.case}: exponent {found.exponent:.2f}, r2 {found.r2:.3f}, {span}"
    if "operations_exponent" in found.more:
        more += f", operations grow with exponent {found.more['operations_exponent']:.2f}"

    ratios = found.ratios
    return Row(
        found.case,
        PROPORTIONAL,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        f"times the {found.cost}",
        len(ratios),
        last[1] / first[1],
        last[0] / first[0],
        note=more,
    )


def one(work: Callable[[], int]) -> int:
    """Do it; it counts as one unit."""
    work()
    return 1


# ---------------------------------------------------------------------------------------- training


def net_plan(family: str, budget: str) -> Plan:
    """The student in the middle of its boxes, at the scale that has this budget."""
    params = YAML(typ="safe").load(compose(BUDGETS[budget]))
    boxes = row(params, "mimic", family).boxes
    middle = [0.5] * FAMILIES[family].controls
    return plan(family, parse_budget(budget), middle, None if boxes is None else boxes[budget])


def trainer(
    made: Plan, device: torch.device
) -> Callable[[np.ndarray, np.ndarray], Callable[[], int]]:
    """From images and logits to an epoch of training on them; all epochs train one net."""
    net = build_student(made)
    glorot_(net, 1.0, torch.Generator().manual_seed(0))
    net = net.to(device, memory_format=torch.channels_last)
    recipe = Recipe("l2_on_logits", 1e-5, 0.9, 0.0, 128, None, "fp32")
    steps = Steps(net, SGD(net, recipe.momentum, recipe.weight_decay), recipe, True)

    def on(images: np.ndarray, logits: np.ndarray) -> Callable[[], int]:
        pixels = torch.from_numpy(images).to(device)
        targets = torch.from_numpy(logits).to(device)
        steps.prepare(pixels, targets)

        def epoch() -> int:
            if not math.isfinite(steps.run(lambda share: recipe.lr, [(pixels, targets)])):
                raise ValueError(
                    f"the loss of {made.family} is not finite: its speed may differ; lower the rate"
                )
            return 1

        return epoch

    return on


def by_images(device: torch.device, quick: bool, folder: Path) -> list[Growth]:
    """An epoch of training, of views, of the transfer set."""
    cuda = device.type == "cuda"
    turns = 2 if quick else 7
    sizes = (
        [2500, 5000, 10_000, 20_000, 40_000]
        if cuda
        else [256, 512, 1024, 2048, *([] if quick else [4096])]
    )

    task = train.make_task("mlp1 1M", sizes[-1], device, 128)
    on = trainer(net_plan("conv2", "100k"), device)
    epochs = {n: on(task.images[:n], task.logits[:n]) for n in sizes}
    found = [timed("training an epoch, images", "images", epochs, turns, cuda)]

    sizes = sizes if cuda else [500, 1000, 2000, 4000, *([] if quick else [8000])]
    views = {n: partial(one, rates.viewing(device, n)) for n in sizes}
    found.append(timed("views of an epoch, images", "images", views, turns, cuda))

    stored = {n: [float(rates.storing(folder / f"{n}", n)["store write"]())] for n in sizes[:4]}
    return [*found, growth("stored epoch, images", "images", "bytes", stored)]


def by_parameters(device: torch.device, quick: bool, folder: Path) -> list[Growth]:
    """Training of one family on the same images; the weights on disk."""
    found = []
    turns = 2 if quick else 7
    for family, images in (("conv2", 128 if quick else 256), ("mlp3", 1024 if quick else 4096)):
        task = train.make_task("mlp1 1M", 40_000 if device.type == "cuda" else images, device, 128)
        plans = [net_plan(family, budget) for budget in BUDGETS]
        sizes = [made.params for made in plans]
        macs = [forward_macs(made) for made in plans]

        epochs = {made.params: trainer(made, device)(task.images, task.logits) for made in plans}
        more = {"macs": macs, "operations_exponent": power_law(sizes, macs)[0]}
        case = f"training {family}, parameters"
        found.append(timed(case, "parameters", epochs, turns, device.type == "cuda", **more))

    sizes_on_disk = {}
    for budget in BUDGETS:
        made = net_plan("conv2", budget)
        path = folder / f"{budget}.safetensors"
        save_weights(path, build_student(made).state_dict(), {"plan": made.to_json()})
        sizes_on_disk[made.params] = [float(path.stat().st_size)]

    return [*found, growth("weights of conv2, parameters", "parameters", "bytes", sizes_on_disk)]


# --------------------------------------------------------------------------------- storage, search


def by_epochs(quick: bool, folder: Path) -> list[Growth]:
    """Storing and reading epochs of the transfer set."""
    images, turns, sizes = (500, 3, [1, 2, 4, 8]) if quick else (2000, 7, [1, 2, 4, 8, 16, 32])
    works = {n: rates.storing(folder / "epochs", images, n) for n in sizes}
    cases = {
        "store write": "storing the transfer set, epochs",
        "store read": "reading the transfer set, epochs",
    }
    found = [
        timed(case, "epochs", {n: partial(one, work[name]) for n, work in works.items()}, turns)
        for name, case in cases.items()
    ]
    size = {n: [float(work["store read"]())] for n, work in works.items()}

    return [*found, growth("transfer set, epochs", "epochs", "bytes", size)]


def by_trials(quick: bool) -> Growth:
    """One suggestion after n results of the noisy 18-d function, in each turn of another search."""
    problem = search.PROBLEMS[-1]
    sizes = [16, 32, 64, 128]
    begun = dict.fromkeys((16, 32, 64, 128), 0)
    space = problem.space()
    settings = Settings("gpyopt", sizes[0], 1)

    def suggest(n: int) -> Cost:
        seed = begun[n]
        begun[n] += 1
        points = [sobol_point(space, seed, i) for i in range(n)]
        done = [
            (point, problem.observe(space.encode(point), seed, i)) for i, point in enumerate(points)
        ]

        def once() -> int:
            ask(space, settings, seed, n, done, [])
            return 1

        return measure.timed(once)

    suggest(sizes[0])  # imports
    begun[sizes[0]] = 0
    sized = {n: partial(suggest, n) for n in sizes}
    return timed("one suggestion in 18-d, trials", "trials", sized, 1 if quick else 5, warm=False)


def by_cells(folder: Path) -> Growth:
    """A `dvc repro` with nothing to do, for pipelines of rows x budgets cells."""
    repositories = {}
    for rows, budgets, hard in ((2, 1, 1), (3, 3, 2), (6, 3, 4), (9, 3, 8)):
        params = dag.parameters(quick=False)
        students = params["students"]
        labelled = params["hard"]
        students["rows"] = list(students["rows"])[:rows]
        students["budgets"] = list(students["budgets"])[:budgets]
        labelled["rows"] = list(labelled["rows"])[:hard]
        made = dag.Repository((folder / f"cells-{rows}").resolve(), params)
        repositories[len(made.stages)] = made

    sized = {stages: made.repro for stages, made in repositories.items()}
    floor = statistics.median(
        measure.timed(made.imports).cpu_s for made in [*repositories.values()] * 2
    )

    return timed(
        "dvc repro with nothing to do, stages",
        "stages",
        sized,
        3,
        warm=False,
        imports_alone_s=floor,
    )


# ------------------------------------------------------------------------------------------ output


def draw(found: Sequence[Growth], path: Path) -> None:
    """Small multiples, one a case: points, their power law, and growth in proportion."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    across = 4
    down = math.ceil(len(found) / across)
    figure, axes = plt.subplots(
        down, across, figsize=(3.3 * across, 2.8 * down), squeeze=False, layout="constrained"
    )
    for axis, each in zip(axes.flat, found, strict=False):
        panel(axis, each)
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    axes.flat[0].legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(figure)


def panel(axis: Any, each: Growth) -> None:
    """One case."""
    sizes, middle, low, high = (
        np.array(column, float) for column in zip(*each.points, strict=True)
    )
    exponent, factor, _ = power_law(list(sizes), list(middle))

    # Both laws, and the points.
    axis.plot(sizes, middle[0] * sizes / sizes[0], ":", color="0.6", label="in proportion")
    axis.plot(sizes, factor * sizes**exponent, "-", color="C0", lw=1, label="power law")
    axis.errorbar(
        sizes, middle, [middle - low, high - middle], fmt="o", ms=4, color="C0", capsize=2, lw=1
    )

    # Few ticks, on logarithmic axes.
    axis.set(xscale="log", yscale="log", xlabel=each.size, ylabel=each.cost)
    axis.set_xticks(
        sizes,
        [f"{x:.0f}" if x < 10_000 else millions(float(f"{x:.3g}")) for x in sizes],
        fontsize=7,
    )
    axis.set_yticks(
        [middle[0], middle[-1]],
        [f"{y:.2g}" if y < 1000 else millions(y) for y in (middle[0], middle[-1])],
    )
    axis.tick_params(axis="y", labelsize=7)
    axis.minorticks_off()

    axis.set_title(f"{each.case.split(',')[0]}\n{each.size} ^ {exponent:.2f}", fontsize=9)


def run(arguments: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """All cases."""
    device = choose_device(arguments.device)
    quick = arguments.quick
    set_up_torch(1, device)
    place = Path(tempfile.mkdtemp(prefix="growth-"))

    try:
        found = [
            *by_images(device, quick, place),
            *by_epochs(quick, place),
            *by_parameters(device, quick, place),
        ]
        found.append(by_trials(quick))
        if not quick:
            found.append(by_cells(place))
    finally:
        shutil.rmtree(place)

    if arguments.plot:
        draw(found, arguments.plot)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, 1 thread"
    return [as_row(each) for each in found], {
        "device": where,
        "growth": [asdict(each) for each in found],
    }


def options(parser: argparse.ArgumentParser) -> None:
    """Arguments of this benchmark."""
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw every case there")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))


if __name__ == "__main__":
    measure.main("growth", __doc__ or "", run, options)
