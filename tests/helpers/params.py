"""The smoke parameters, and copies of them with one value changed."""

from __future__ import annotations

import copy
from typing import Any

from ruamel.yaml import YAML

from commands.scale import compose


class Deleted:
    """In the place of a value: the leaf is taken out."""

    def __repr__(self) -> str:
        return "deleted"


DELETED = Deleted()
SMOKE: dict[str, Any] = YAML(typ="safe").load(compose("smoke"))


def changed(path: str, value: Any) -> dict[str, Any]:
    """The smoke params with the leaf at `path` replaced or, for DELETED, taken out."""
    params = copy.deepcopy(SMOKE)
    *above, last = path.split("/")
    node = params
    for key in above:
        node = node[key]
    if value is DELETED:
        del node[last]
    else:
        node[last] = value
    return params
