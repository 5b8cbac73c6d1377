"""Settings that several stages share: seed, numerics, execution, which views keep a label."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.settings.read import from_environment, parse, strict

Count = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0, le=1)]
GPU = Annotated[int, Field(ge=0, le=1023)]
Schedule = Literal["paper", "budget"]
ENVIRONMENT = "MIMICNETS_EXECUTION"
"""Environment variable with a YAML mapping of keys of `execution`.

They go before those of params.yaml: the address of a cluster is a new one each time.
"""


@strict
class Numerics:
    """What changes the bits of a result on one machine."""

    precision: Literal["fp32", "bf16"]
    threads: Annotated[int, Field(ge=1, le=1024)]
    eval_batch: Count


@strict
class Execution:
    """Where and how trials run; tracked by no stage. Of these only the device changes bits.

    Two trials on each of two GPUs, with their curves in TensorBoard::

        execution:
          device: cuda
          engine: local
          devices: [0, 2]
          trials_per_gpu: 2
          log: tensorboard
    """

    device: Literal["auto", "cpu", "cuda"]
    engine: Literal["serial", "local", "ray"]
    slots: Annotated[int, Field(ge=1, le=4096)]
    devices: Annotated[tuple[GPU, ...], Field(min_length=1, max_length=1024)] | None
    trials_per_gpu: Annotated[int, Field(ge=1, le=64)]
    address: Annotated[str, Field(min_length=1, max_length=1000)] | None
    scratch: Annotated[str, Field(min_length=1, max_length=1000)] | None
    checkpoint_seconds: Annotated[float, Field(ge=0)]
    cuda_graphs: bool
    log: Literal["none", "dvclive", "tensorboard"]

    @model_validator(mode="after")
    def _engine_has_its_place(self) -> Execution:
        if self.devices is not None and len(set(self.devices)) < len(self.devices):
            raise ValueError(
                f"devices is {list(self.devices)}: name each GPU once, "
                "trials_per_gpu says how many trials share it"
            )
        if self.scratch is not None and not PurePosixPath(self.scratch).is_absolute():
            raise ValueError(
                f"scratch is '{self.scratch}': name a folder from the root on, as /tmp, or null"
            )
        if self.engine == "ray" and self.address is None:
            raise ValueError(
                "engine is 'ray' and address is null: name the cluster, as 10.0.0.1:6379"
            )

        return self


@strict
class Images:
    """Which views of an image keep its label (Urban et al. 2017, section 2.5).

    Vectors have no views::

        images:
          mirror: false
          crop_min_px: null
    """

    mirror: bool
    crop_min_px: Annotated[int, Field(ge=2)] | None


@strict
class HSV:
    """Ranges of the HSV augmentation (Urban et al. 2017, section 2.5).

    The paper's; all 0 switch it off::

        hsv: {D_h: 0.06, D_s: 0.26, D_v: 0.20, A_s: 0.21, A_v: 0.13}
    """

    D_h: Annotated[float, Field(ge=0, le=0.5)]
    D_s: Fraction
    D_v: Fraction
    A_s: Annotated[float, Field(ge=0)]
    A_v: Annotated[float, Field(ge=0)]


def check_bound(schedule: Schedule, max_epochs: int | None) -> None:
    """Refuse a budget without an end.

    Raises:
        ValueError: the schedule "budget" without a bound on the epochs.
    """
    if schedule == "budget" and max_epochs is None:
        raise ValueError(
            "schedule is 'budget' and max_epochs is null: the learning rate falls to zero at "
            "max_epochs, say how many; or take schedule: paper"
        )


def seed(params: dict[str, Any]) -> int:
    """The root seed, `seed` in params.yaml."""
    return parse(Seed, params["seed"], "seed")


def numerics(params: dict[str, Any]) -> Numerics:
    """The section `numerics`."""
    return parse(Numerics, params["numerics"], "numerics")


def execution(params: dict[str, Any]) -> Execution:
    """The section `execution`, with what the environment says instead."""
    written = parse(Execution, params["execution"], "execution")
    replaced = from_environment(ENVIRONMENT)
    if not replaced:
        return written

    try:
        return parse(Execution, {**params["execution"], **replaced}, "execution")
    except ValueError as error:
        raise ValueError(f"{ENVIRONMENT}: {str(error).removeprefix('params.yaml: ')}") from None


def images(params: dict[str, Any]) -> Images:
    """The section `images`."""
    return parse(Images, params["images"], "images")
