"""Reads params.yaml and turns a section into a checked, frozen dataclass.

Values are checked by pydantic in strict mode: no string becomes a number, and no unknown key is
ignored.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

T = TypeVar("T")

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
strict = pydantic_dataclass(frozen=True, config=_CONFIG)
"""Decorator of every settings dataclass: frozen, strict types, unknown keys refused."""

strict_keywords = pydantic_dataclass(frozen=True, kw_only=True, config=_CONFIG)
"""The same for one that adds keys without a default to those of another."""

LONGEST_SHOWN = 120
"""Characters of a bad value that an error message repeats."""

LONGEST = 1_000_000
"""Characters of a params file; those of the scales have less than ten thousand."""

LONGEST_VARIABLE = 10_000
"""Characters of an environment variable that holds settings."""

MOST = 2_000
"""Lists and mappings of a params file: nested ten times as deep, they crash the YAML library."""

MOST_VALUES = 100_000
"""Values of a params file, those behind an alias counted each time."""

_BEGINS = re.compile(r"[\[{]|[-?](?=\s)")
"""What a list or a mapping begins with."""

SECTIONS = (
    "scale",
    "seed",
    "numerics",
    "execution",
    "images",
    "prepare",
    "teachers",
    "ensemble",
    "augment",
    "label",
    "students",
    "hard",
    "ablations",
    "teachers_2014",
    "students_2014",
    "rows",
    "hard_rows",
    "ablation_rows",
    "tabulate",
    "assess",
    "draw",
)
"""Top-level keys of params.yaml."""


def read_params(path: Path | str = "params.yaml") -> dict[str, Any]:
    """Read a params file as DVC does (YAML 1.2) and check its top-level keys.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not YAML, a section is missing, misspelled or unknown, or the file is too large.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found: run from the repository root, "
            "or write it with 'python -m commands.scale smoke'"
        )

    params = read_yaml(path)
    check_sections(params, path)
    return params


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file of settings (YAML 1.2).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not YAML, or the file is too large.
    """
    try:
        text = path.read_text(encoding="utf-8")
        check_merged(text, path)
        if len(text) > LONGEST or sum(1 for _ in _BEGINS.finditer(text)) > MOST:
            raise ValueError(f"more than {LONGEST:,} characters or {MOST:,} lists and mappings")
        values = YAML(typ="safe").load(text)
        _check_size(values)
    except MergeError:
        raise
    except (YAMLError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error

    return values


MARKS = ("<" * 7, ">" * 7)
"""At the beginning of a line, before the name of a branch."""


class MergeError(ValueError):
    """A file has the marks of a git merge in it."""


def check_merged(text: str, path: Path) -> None:
    """Refuse a text with the marks that a git merge leaves where two branches disagree.

    Raises:
        MergeError: it has them.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(tuple(f"{mark} " for mark in MARKS)):
            raise MergeError(
                f"{path}, line {number} has the mark {line[:7]} of a git merge: take one side, or "
                f"both, and remove the lines that begin with {MARKS[0]}, ======= and {MARKS[1]}"
            )


def from_environment(name: str) -> dict[str, Any]:
    """A YAML mapping in an environment variable; empty where that is not set.

    Raises:
        ValueError: not YAML, or not a mapping.
    """
    text = os.environ.get(name, "")

    try:
        values = YAML(typ="safe").load(text) if len(text) <= LONGEST_VARIABLE else text
        _check_size(values)
    except (YAMLError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error

    if values is not None and not isinstance(values, dict):
        raise ValueError(
            f"{name} is {text[:LONGEST_SHOWN]!r}: allowed is a YAML mapping, as {{engine: serial}}"
        )

    return {str(key): value for key, value in (values or {}).items()}


def _check_size(params: Any) -> None:
    """Refuse aliases that stand for more values than a params file has, or for themselves."""
    rest = [params]
    count = 0

    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            inside = list(value.values())
        elif isinstance(value, list):
            inside = value
        else:
            inside = []

        rest.extend(inside)
        count += 1 + len(inside)
        if count > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values: give fewer aliases")


def check_sections(params: Any, path: Path | str = "params.yaml") -> None:
    """Check that `params` is a mapping with every section and no other.

    Raises:
        ValueError: one line naming `path` and the section.
    """
    if not isinstance(params, dict):
        raise ValueError(f"{path} holds {type(params).__name__}, allowed is a mapping of sections")
    for key in params:
        if key not in SECTIONS:
            raise ValueError(f"{path}: unknown section '{key}'{nearest(key, SECTIONS)}")
    for key in SECTIONS:
        if key not in params:
            raise ValueError(f"{path}: section '{key}' is missing")


def nearest(word: object, allowed: typing.Iterable[str]) -> str:
    """End of an error message: the nearest allowed name, or all of them."""
    allowed = list(allowed)
    close = difflib.get_close_matches(str(word), allowed, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; allowed: {', '.join(allowed)}"


def parse(kind: type[T], values: Any, where: str) -> T:
    """Check `values` (plain YAML data) against `kind`; `where` is its path in params.yaml.

    Raises:
        ValueError: one line with the first fault: path, what was got, what is allowed.
    """
    try:
        # what YAML knows and JSON does not (a date) becomes a mapping, which no field takes
        text = json.dumps(values, default=lambda value: {type(value).__name__: str(value)})
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"params.yaml: {where}: {error}") from error

    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(f"params.yaml: {_describe(kind, error, where)}") from None


def _describe(kind: Any, error: ValidationError, where: str) -> str:
    """The first fault in words: path, what was got, what is allowed."""
    # an unknown key is named before what it leaves missing
    faults = error.errors()
    first = next((f for f in faults if f["type"] == "unexpected_keyword_argument"), faults[0])

    location = [
        part for part in first["loc"] if not str(part).startswith(("constrained-", "function-"))
    ]
    path = ".".join([where, *map(str, location)])

    if first["type"] == "unexpected_keyword_argument":
        return f"unknown key '{path}'{nearest(location[-1], _fields(kind, location[:-1]))}"
    if first["type"] == "missing":
        return f"'{path}' is missing"

    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "dataclass_type":
        union = len(location) < len(first["loc"])  # the tag of one of several types was left out
        message = f"input should be a {'number or a ' if union else ''}mapping"

    got = json.dumps(first["input"])
    got = got if len(got) <= LONGEST_SHOWN else f"{got[:LONGEST_SHOWN]}..."
    return f"{path} is {got}: {message[0].lower()}{message[1:]}"


def _fields(kind: Any, location: list[Any]) -> list[str]:
    """Names that `kind` allows at `location` (a path of field names and mapping keys)."""
    for part in location:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(part)
        else:
            kind = typing.get_args(kind)[-1] if typing.get_args(kind) else None
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            options = [k for k in typing.get_args(kind) if k is not type(None)]
            kind = next((k for k in options if dataclasses.is_dataclass(k)), options[0])

    if not dataclasses.is_dataclass(kind):
        return []
    return [field.name for field in dataclasses.fields(kind)]
