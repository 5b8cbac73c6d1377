"""The student architectures and the plan of one net, without torch."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from stages.nets.layers import Layer, chain, count
from stages.settings.inputs import Inputs


@dataclass(frozen=True)
class Family:
    """What the nets of one row have in common.

    `layout` has a `c` per convolution (5x5, padding 2) and a `p` per pool of side `pool` and step
    `stride` (None: the side); `groups` gives the control of each optimised width; `hidden` counts
    the fully connected ReLU layers.
    """

    layout: str
    pool: int
    groups: tuple[int, ...]
    hidden: int
    bottleneck: bool
    stride: int | None = None

    @property
    def controls(self) -> int:
        """How many numbers choose the widths; 0 where the budget alone does."""
        return max(self.groups, default=-1) + 1

    @property
    def ratios(self) -> bool:
        """Whether the controls are width ratios, scaled to the budget, instead of widths."""
        return bool(self.groups) and not self.layout and not self.bottleneck


# The rows of Table 2. Assumptions (1), (4), (5), (6), (10): the layouts, the pool of conv1, where
# the bottlenecks are, and which layers share a control.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "mlp1": Family("", 1, (0,), 1, True),
        "mlp2": Family("", 1, (0, 1), 2, False),
        "mlp3": Family("", 1, (0, 1, 2), 3, False),
        "mlp4": Family("", 1, (0, 1, 2, 3), 4, False),
        "mlp5": Family("", 1, (0, 1, 2, 3, 4), 5, False),
        "conv1": Family("cp", 3, (0, 1), 1, True),
        "conv2": Family("cpcp", 2, (0, 1), 1, False),
        "conv3": Family("cpcpcp", 2, (0, 1, 1), 1, False),
        "conv4": Family("cpccpcp", 2, (0, 0, 1, 1), 1, False),
        # ours: mlp1 and conv1 without their bottlenecks, to see what these are worth
        "mlp1-plain": Family("", 1, (), 1, False),
        "conv1-plain": Family("cp", 3, (0,), 1, False),
        # Ba and Caruana 2014, the predecessor's nets. The paper prints layers and parameters,
        # neither filter nor pool sizes. 128c-p-1200L-30k: with a map of 15x15 it counts 70,900,938
        # ("about 70M"), and with 64 filters 53,616,074 ("about 54M"); 3x3 pools of stride 2 make
        # that map. 128c-mp-128c-mp-128c-mp-1k fc with the same filters and pools counts 1,992,194,
        # printed is 2.1M.
        "snn-2014": Family("cp", 3, (0, 1), 1, True, stride=2),
        "cnn-2014": Family("cpcpcp", 3, (0, 0, 0), 1, False, stride=2),
    }
)


@dataclass(frozen=True)
class Plan:
    """Widths of one student and what they cost.

    >>> net = Plan("mlp2", (20, 10), None, 61780, 0.03, Inputs.images(32), 10)
    >>> [(layer.kind, layer.inputs, layer.outputs) for layer in net.layers]
    [('fc', 3072, 20), ('fc', 20, 10), ('out', 10, 10)]
    >>> Plan.from_json(net.to_json()) == net
    True

    Attributes:
        family: a key of `FAMILIES`.
        widths: the optimised ones in order; filters per convolution, then for MLPs and nets with
            a bottleneck the units of each ReLU layer; none for `mlp1-plain`.
        dependent: the width that fills the budget: units of the bottleneck where there is one, else
            of the hidden layer; None where the widths are ratios.
        params: weights and biases, the output layer included.
        rel_err: (params - budget) / budget.
        inputs, classes: what the net sees, and how many outputs it has.
    """

    family: str
    widths: tuple[int, ...]
    dependent: int | None
    params: int
    rel_err: float
    inputs: Inputs
    classes: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers in order, from which the net is built."""
        return layers_of(self.family, self.widths, self.dependent, self.classes, self.inputs)

    def to_json(self) -> str:
        """One line of JSON; `shape` is in it for vectors only, as its last key."""
        return json.dumps(
            {
                "family": self.family,
                "widths": self.widths,
                "dependent": self.dependent,
                "params": self.params,
                "rel_err": self.rel_err,
                "size_px": self.inputs.size_px,
                "classes": self.classes,
                **self.inputs.to_json(),
            }
        )

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Plan:
        """The plan of `to_json` (the text, or the object it holds).

        Raises:
            ValueError: keys are missing or unknown, or `params` is not the count of the widths.
        """
        record = dict(json.loads(text) if isinstance(text, str) else text)
        of_inputs = {"size_px", "shape"} if "shape" in record else {"size_px"}
        names = {field.name for field in fields(cls)} - {"inputs"} | of_inputs
        if set(record) != names:
            raise ValueError(f"a plan has the keys {sorted(names)}, got {sorted(record)}")

        family_of(record["family"])
        plan = cls(
            family=record["family"],
            widths=tuple(record["widths"]),
            dependent=record["dependent"],
            params=record["params"],
            rel_err=record["rel_err"],
            inputs=Inputs.from_json(record),
            classes=record["classes"],
        )

        if count(plan.layers) != plan.params:
            raise ValueError(
                f"a plan of {plan.params:,} params whose widths count {count(plan.layers):,}:"
                " it was edited or written by another version, make it again"
            )

        return plan


def family_of(name: str) -> Family:
    """The family of that name; ValueError with the nearest name where there is none."""
    if name in FAMILIES:
        return FAMILIES[name]

    nearest = difflib.get_close_matches(str(name), FAMILIES, n=1, cutoff=0)[0]
    raise ValueError(
        f"unknown family {name!r}, did you mean {nearest!r}? rows are named {', '.join(FAMILIES)}"
    )


def layers_of(
    family: str,
    widths: Sequence[int],
    dependent: int | None,
    classes: int,
    inputs: Inputs,
) -> tuple[Layer, ...]:
    """Layers of a family with these optimised widths and this dependent one, as of `Plan`.

    Raises:
        ValueError: a family with convolutions for vectors, or images too small for its pools.
    """
    known = FAMILIES[family]
    if inputs.is_vectors and known.layout:
        dense = ", ".join(name for name, other in FAMILIES.items() if not other.layout)
        raise ValueError(f"{family} has 5x5 convolutions on images, vectors go to {dense}")

    convs = widths[: known.layout.count("c")]
    hidden = list(widths[len(convs) :])

    if not known.bottleneck and dependent is not None:
        hidden.append(dependent)

    return chain(
        known.layout,
        convs,
        hidden,
        kernel=5,
        pool=known.pool,
        stride=known.stride,
        bottleneck=dependent if known.bottleneck else None,
        classes=classes,
        inputs=inputs,
    )


def control_names(family: str) -> list[str]:
    """Names of the hyperparameters that set a family's widths: C1, C2; r_1, r_2, ...; or none."""
    known = FAMILIES[family]
    return [f"{'r_' if known.ratios else 'C'}{i + 1}" for i in range(known.controls)]


def dropout_names(family: str) -> list[str]:
    """DOc1, ... for the pools, DOf1 for the hidden layer (section 6.2); none for an MLP."""
    pools = FAMILIES[family].layout.count("p")
    return [*(f"DOc{i + 1}" for i in range(pools)), "DOf1"] if pools else []


def check_row(
    where: str,
    family: str,
    budget: str,
    boxes: Mapping[str, Any] | None,
    ratios: tuple[float, float] | None,
) -> None:
    """Check that a row of params.yaml has what its family needs: width boxes, ratios, or neither.

    Args:
        where: path of the row in params.yaml, for the error.

    Raises:
        ValueError: no such family, or boxes or ratios that do not belong to it.
    """
    if family not in FAMILIES:
        raise ValueError(f"{where}: unknown net '{family}', allowed are {', '.join(FAMILIES)}")

    if not FAMILIES[family].controls:
        if boxes is not None or ratios is not None:
            raise ValueError(
                f"{where}: {family} takes neither 'boxes' nor 'ratios', "
                "its one width fills the budget"
            )
    elif FAMILIES[family].ratios:
        if boxes is not None or ratios is None:
            raise ValueError(f"{where}: {family} takes 'ratios: [low, high]' and no 'boxes'")
    elif boxes is None or ratios is not None:
        raise ValueError(
            f"{where}: {family} takes 'boxes' (budget: [[low, high], ...]) and no 'ratios'"
        )
    elif budget not in boxes:
        raise ValueError(
            f"{where}.boxes has no box for budget '{budget}', it has {', '.join(boxes) or 'none'}"
        )
