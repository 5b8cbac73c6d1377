"""What the settings allow for a key, in words, from the dataclasses of stages/settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from stages.settings import common, prepare, results, students, sweeps, teachers, transfer

KINDS: dict[str, Any] = {
    "scale": str,
    "seed": common.Seed,
    "numerics": common.Numerics,
    "execution": common.Execution,
    "images": common.Images,
    "prepare": prepare.Prepare,
    "teachers": teachers.Teachers,
    "ensemble": transfer.Ensemble,
    "augment": transfer.Augment,
    "label": transfer.Label,
    "students": students.Matrix,
    "hard": students.Matrix,
    "ablations": students.Lists,
    "teachers_2014": students.Teachers2014,
    "students_2014": students.Lists,
    "rows": dict[students.Name, students.RowSettings],
    "hard_rows": dict[students.Name, students.RowSettings],
    "ablation_rows": dict[students.Name, students.AblationRow],
    "tabulate": results.Tabulate,
    "assess": results.Assess,
    "draw": results.Draw,
}
"""The type of each section of params.yaml."""
ENTRY = "NAME"
"""Stands in a path for the name of a row."""
MOST_SHOWN = 10**7
"""Larger bounds are shown as powers where they are."""


@dataclass(frozen=True)
class Key:
    """A key that params.yaml may have: its path, and what is allowed."""

    path: tuple[str, ...]
    allowed: str

    @property
    def name(self) -> str:
        """The path with dots, as `dvc exp run -S` takes it."""
        return ".".join(self.path)


def keys(section: str, examples: Sequence[Mapping[str, Any]]) -> Iterator[Key]:
    """Every key of a section, in the order of its class.

    Args:
        examples: params of all scales, from which the keys of `boxes` and `space` of nets are
        taken.
    """
    schema = TypeAdapter(KINDS[section]).json_schema()
    values = [params[section] for params in examples]
    if "properties" in schema:
        yield from _fields(schema, schema, (section,), values)
    elif schema["type"] == "object":
        yield from _fields(_resolved(_values(schema), schema), schema, (section, ENTRY), [])
    else:
        yield Key((section,), in_words(schema, schema))


def _fields(
    node: Mapping[str, Any], schema: Mapping[str, Any], path: tuple[str, ...], values: Sequence[Any]
) -> Iterator[Key]:
    for name, field in node["properties"].items():
        inside = _resolved(field, schema)
        own = [value[name] for value in values]
        here = (*path, name)

        if "properties" in inside:
            if any("null" in option.get("type", "") for option in field.get("anyOf", ())):
                yield Key(
                    here, f"keys {', '.join(f'`{key}`' for key in inside['properties'])}; or null"
                )
            yield from _fields(inside, schema, here, own)
        elif name in ("space", "boxes") and own:
            more = (
                students.SPACE
                if name == "space" and node["title"] == students.Matrix.__name__
                else ()
            )
            for key in dict.fromkeys([*(key for value in own for key in value), *more]):
                yield Key(
                    (*here, key),
                    limits(key) if name == "space" else in_words(_values(inside), schema),
                )
        else:
            yield Key(here, in_words(field, schema))


def _resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The class that a field's type refers to, also where it may be null; else the type itself."""
    for option in (node, *node.get("anyOf", ())):
        if "$ref" in option:
            found: Mapping[str, Any] = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
            return found
    return node


def _values(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The type of the values of a mapping from names."""
    found: Mapping[str, Any] = node.get("additionalProperties") or next(
        iter(node["patternProperties"].values())
    )
    return found


def limits(name: str) -> str:
    """What is allowed for a hyperparameter of a `space`, from the error for another value."""
    try:
        sweeps.check_space({name: -math.inf}, "space")
    except ValueError as error:
        said = str(error).partition("allowed is ")[2]
        return said.replace("0.0 .. inf", "0 or more").replace(" .. ", " to ").replace(".0", "")
    raise ValueError(f"{name}: any value is allowed, also -inf")


def in_words(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A type of JSON schema in words.

    Raises:
        ValueError: a type that no setting has had so far.
    """
    if "$ref" in node:
        node = _resolved(node, schema)
        return (
            "a range"
            if node["title"] == sweeps.Range.__name__
            else f"keys {', '.join(node['properties'])}"
        )

    if "oneOf" in node:
        return " or ".join(in_words(option, schema) for option in node["oneOf"])
    if "anyOf" in node:
        words = [
            in_words(option, schema) for option in node["anyOf"] if option.get("type") != "null"
        ]
        return " or ".join(words) + ("; or null" if len(words) < len(node["anyOf"]) else "")
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])

    kind = node.get("type")
    if kind in ("integer", "number"):
        return _number(node)
    if kind == "array":
        return _list(node, schema)
    if kind == "object":
        return f"mapping, each value {in_words(_values(node), schema)}"
    if kind == "string":
        return f"text like `{node['pattern'].strip('^$')}`" if "pattern" in node else "text"
    if kind == "boolean":
        return "`true`, `false`"
    raise ValueError(f"no words for {dict(node)}: add them to tools/allowed.py")


def _number(node: Mapping[str, Any]) -> str:
    what = "whole number" if node["type"] == "integer" else "number"
    low = node.get("minimum")
    above = node.get("exclusiveMinimum")
    high = node.get("maximum")
    below = node.get("exclusiveMaximum")

    start = ""
    if above is not None:
        start = f"above {_amount(above)}"
    elif low is not None:
        start = _amount(low)

    end = ""
    if below is not None:
        end = f" to below {_amount(below)}"
    elif high is not None:
        end = f" to {_amount(high)}"

    comma = ", " if start else ""
    open_end = " or more" if start and not end and above is None else ""
    return f"{what}{comma}{start}{end}{open_end}"


def _amount(value: float) -> str:
    """A bound; large ones as the power of 10 or 2 that they are, or one below it."""
    whole = round(value)
    if value != whole or abs(value) <= MOST_SHOWN:
        return f"{value:g}" if value != whole else f"{whole:,}"
    for base in (10, 2):
        power = round(math.log(whole, base))
        if whole == base**power:
            return f"{base}^{power}"
    return f"{whole:,}"


def _list(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "prefixItems" in node:
        return f"[low, high], each a {in_words(node['prefixItems'][0], schema)}"
    least = node.get("minItems")
    most = node.get("maxItems")
    size = "" if most is None else f" of {least or 0} to {most}"
    return f"list{size}, each {in_words(node['items'], schema)}"
