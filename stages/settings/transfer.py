"""Settings of ensemble, augment and label."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from stages.settings.common import HSV, Count
from stages.settings.read import parse, strict

MemberWeight = Annotated[float, Field(gt=0, le=1e6)]


def _kind_of_weights(given: Any) -> str:
    """Which of the two is meant, so that an error speaks of that one."""
    return "function-names" if isinstance(given, dict) else "function-word"


Weights = Annotated[
    Annotated[Literal["equal", "found"], Tag("function-word")]
    | Annotated[dict[str, MemberWeight], Tag("function-names")],
    Discriminator(_kind_of_weights),
]


@strict
class Ensemble:
    """The section `ensemble` (Urban et al. 2017, section 2.7).

    An ensemble that is no better than naming the commonest class has nothing to teach. Where that
    is wanted all the same::

        ensemble:
          at_chance: allow

    Nets from elsewhere, as teachers/README.md says, instead of a search of our own::

        ensemble:
          source: files

    Members that count differently, by their names; or found on the validation images::

        ensemble:
          members: 2
          source: files
          weights: {resnet18: 3, forest: 1}

    Attributes:
        members: how many nets it has.
        at_chance: what is done with one that has nothing to teach.
        source: where its candidates are from: the search `teachers`, the files of the folder
            teachers/, or both. `logits`: there are no nets, only what another program gave.
        weights: of the members in the mean of the logits. A trial is called by its number.
    """

    members: Count
    at_chance: Literal["refuse", "allow"] = "refuse"
    source: Literal["teachers", "files", "both", "logits"] = "teachers"
    weights: Weights = "equal"

    @property
    def searched(self) -> bool:
        """Whether the search `teachers` is run for it."""
        return self.source in ("teachers", "both")


@strict
class Augment:
    """The section `augment`: the transfer set (Urban et al. 2017, section 2.5).

    On a small disk, store the draws instead of the images; students compute the same images again::

        augment:
          store: draws
    """

    epochs: Annotated[int, Field(ge=1, le=65535)]
    store: Literal["images", "draws"]
    hsv: HSV


@strict
class Label:
    """The section `label`: sizes of smaller ensembles, whose logits are stored too.

    For ablations with fewer teachers::

        label:
          members: [1, 4]
    """

    members: tuple[Count, ...]


def label(params: dict[str, Any]) -> Label:
    """The section `label`.

    Raises:
        ValueError: a size is not below that of the ensemble, or is given twice.
    """
    section = parse(Label, params["label"], "label")
    most = ensemble(params).members

    ordered = list(section.members) == sorted(set(section.members))
    if not ordered or any(size >= most for size in section.members):
        raise ValueError(
            f"params.yaml: label.members is {list(section.members)}: "
            f"sizes below ensemble.members {most}, each once, smallest first"
        )

    return section


def ensemble(params: dict[str, Any]) -> Ensemble:
    """The section `ensemble`."""
    return parse(Ensemble, params["ensemble"], "ensemble")


def augment(params: dict[str, Any]) -> Augment:
    """The section `augment`."""
    return parse(Augment, params["augment"], "augment")
