"""The curve of a trial while it is trained, for DVCLive or TensorBoard.

No result depends on it: a curve is for looking at, and is written beside the results, not into
them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Report = Callable[[int, float, float], None]
"""Called with epoch (from 0), mean training loss and validation error when an epoch is over."""

LIVE = Path("live")
"""Where curves are written; git and the stages do not look there.

`plots` in dvc.yaml names it: DVC does not look into a folder that git ignores by itself.
"""

PACKAGES = {"dvclive": "live", "tensorboard": "tensorboard"}
"""Name of the package -> the extra that installs it."""


def check_log(kind: str) -> None:
    """Check that what `execution.log` names is installed.

    Raises:
        ValueError: it is not; says what to install.
    """
    if kind != "none" and find_spec(kind) is None:
        raise ValueError(
            f"params.yaml: execution.log is {kind}, which is not installed: "
            f"pip install '.[{PACKAGES[kind]}]', or set it to none"
        )


@contextmanager
def logged(kind: str, name: str, report: Report) -> Iterator[Report]:
    """Calls `report` and logs to live/NAME too.

    A fresh trial starts a fresh curve, a resumed one appends to it. The logger is imported when the
    first epoch is over: DVCLive takes a second for it.

    Args:
        kind: "none", "dvclive" or "tensorboard".
        name: of this trial alone: "teachers/003", "students/conv2-180k/003".
        report: called first.
    """
    if kind == "none":
        yield report
        return

    folder = LIVE / name
    open_logger = {"dvclive": _dvclive, "tensorboard": _tensorboard}[kind]
    opened: list[tuple[Report, Callable[[], Any]]] = []

    def both(epoch: int, loss: float, error: float) -> None:
        report(epoch, loss, error)
        if not opened:
            if epoch == 0:
                shutil.rmtree(folder, ignore_errors=True)
            opened.append(open_logger(folder, epoch))
        opened[0][0](epoch, loss, error)

    try:
        yield both
    finally:
        for _, close in opened:
            close()


def _dvclive(folder: Path, epoch: int) -> tuple[Report, Callable[[], Any]]:
    """How DVCLive is called and closed, from `epoch` on."""
    from dvclive.live import Live

    folder.mkdir(parents=True, exist_ok=True)
    live = Live(str(folder), resume=epoch > 0, report=None, save_dvc_exp=False, dvcyaml=None)

    def report(epoch: int, loss: float, error: float) -> None:
        live.step = epoch
        live.log_metric("training_loss", loss)
        live.log_metric("validation_error", error)
        live.make_summary()

    return report, live.end


def _tensorboard(folder: Path, epoch: int) -> tuple[Report, Callable[[], Any]]:
    """How TensorBoard's writer is called and closed, from `epoch` on."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=epoch)

    def report(epoch: int, loss: float, error: float) -> None:
        writer.add_scalar("training loss", loss, epoch)
        writer.add_scalar("validation error", error, epoch)
        writer.flush()

    return report, writer.close
