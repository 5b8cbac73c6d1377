"""A net from elsewhere as a module: our images in, logits of our classes out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from stages.nets.outside.files import files_of_net, parameters_of_onnx
from stages.nets.outside.runs import Run, run_of
from stages.nets.outside.views import as_wanted
from stages.settings.outside import Described, order_of, read_described


class OutsideNet(nn.Module):
    """Called with uint8 (n, s, s, 3) or vectors (n, ...), returns (n, classes) float32 logits.

    It computes in float32, whatever `numerics.precision` says: only its maker knows what it bears.

    Args:
        described: what it takes and gives.
        run: what runs it.
        order: place in its outputs of each of our classes.
        nets: the modules that `run` uses, whose weights are counted.
        device: where its inputs go.
    """

    def __init__(
        self,
        described: Described,
        run: Run,
        order: list[int],
        nets: list[nn.Module],
        device: torch.device,
    ) -> None:
        super().__init__()
        self.described = described
        self.run = run
        # Whoever evaluates a net asks its parameters for the device, and an ONNX net has none.
        self.place = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.order = order
        self.nets = nn.ModuleList(nets)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of our classes.

        Raises:
            ValueError: the outputs have another shape, or are not finite.
        """
        with torch.autocast(images.device.type, enabled=False):
            given = self.run(as_wanted(images, self.described))
        described = self.described
        checked = self._checked(given, len(images))
        values = as_logits(checked, described.output, described.floor, described.file)
        return values[:, self.order]

    def train(self, mode: bool = True) -> OutsideNet:
        """It is never trained: an exported program knows one mode, and batch norm must not move."""
        self.training = mode
        return self

    def count(self, folder: Path) -> int:
        """Numbers that it has learnt.

        Args:
            folder: of its file.
        """
        if self.described.format == "onnx":
            return parameters_of_onnx(folder / self.described.file)
        return sum(each.numel() for each in self.nets.parameters())

    def _checked(self, given: Tensor, count: int) -> Tensor:
        name = self.described.file
        classes = len(self.described.classes)
        if not isinstance(given, Tensor) or tuple(given.shape) != (count, classes):
            shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(
                f"{name} gives {shape} for {count} images, and its classes has {classes} names: "
                f"needed is [{count}, {classes}]"
            )

        given = given.float()
        kept = self.described.output == "log-probabilities"  # log 0 is minus infinity
        bad = torch.isnan(given) | (torch.isinf(given) & ~(kept & (given < 0)))
        if bad.any():
            raise ValueError(
                f"{name} gives outputs that are not finite, for {int(bad.any(1).sum())} of {count} "
                "images: check range, mean and deviation"
            )
        return given


def as_logits(given: Tensor, output: str, floor: float, source: object) -> Tensor:
    """Logits (n, classes) of what a net gives; logits stay as they are.

    Probabilities p become log(max(p, floor)) less its mean over the classes: log p alone is below 0
    everywhere, by an amount that says nothing of the classes and that students would have to learn.

    Args:
        output: logits, probabilities or log-probabilities.
        floor: the smallest probability.
        source: for the error.

    Raises:
        ValueError: probabilities below 0, or with another sum than 1.
    """
    if output == "logits":
        return given

    shares = given if output == "probabilities" else given.exp()
    sums = shares.sum(1)
    if (shares < -1e-4).any() or not torch.allclose(sums, torch.ones_like(sums), atol=0.02):
        raise ValueError(
            f"{source}: output is {output}, and what it gives has sums of {float(sums.min()):.3g} "
            f"to {float(sums.max()):.3g}: choose logits, probabilities or log-probabilities"
        )

    values = shares.clamp_min(floor).log()
    return values - values.mean(1, keepdim=True)


def load_outside(
    path: Path, classes: tuple[str, ...] | list[str], device: torch.device
) -> OutsideNet:
    """The net that a YAML file describes, on the device, in eval mode.

    Args:
        path: of the YAML file, with the net's file beside it.
        classes: of the data, in their order.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the description or the net cannot be used, or its classes are others.
    """
    described = read_described(path)
    order = order_of(described.classes, classes, path)
    return made(path, described, order, device)


def made(path: Path, described: Described, order: list[int], device: torch.device) -> OutsideNet:
    """The net beside `path`, read as `described` says; errors as in `load_outside`."""
    file = path.parent / described.file
    files_of_net(file, described)  # says what is missing in fewer words than what would run it
    run, nets = run_of(file, described, device)
    return OutsideNet(described, run, order, nets, device)
