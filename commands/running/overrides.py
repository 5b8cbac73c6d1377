"""Whether what `dvc exp run -S` sets has reached params.yaml.

DVC 3.67 lays the values over the file place by place. Where places share their value by a YAML
anchor, one of them takes the new value back, without a word: the run would be of the old value and
bear the name of the new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.tokens import AnchorToken

OPTIONS = ("-S", "--set-param")
_PLAIN = re.compile(r"(?:params\.yaml:)?([\w.-]+)=(.*)", re.S)
"""NAME=VALUE; what begins with + or ~ adds or removes a key, and is left to DVC."""


def check_overrides(words: Sequence[str], params: Mapping[str, Any], text: str) -> None:
    """Refuse to run if a plain value that a command line of DVC sets is not in params.yaml.

    Args:
        words: the command line.
        params: what params.yaml holds.
        text: the same as it is written; without an anchor nothing is lost.

    Raises:
        ValueError: a value is lost.
    """
    if anchor_of(text) is None:
        return

    for name, value in overrides(words):
        found = _at(params, name)
        if found != value:
            raise ValueError(
                f"DVC has lost -S {name}={value}: params.yaml has {found!r} there; it does so where the "
                "file has a YAML anchor (&): write the values out wherever they are used"
            )


def _at(params: Any, name: str) -> Any:
    """The value of "students.sweep" and the like, or of "list.0"; None where there is none."""
    for key in name.split("."):
        if isinstance(params, list) and key.isdigit() and int(key) < len(params):
            params = params[int(key)]
        else:
            params = params.get(key) if isinstance(params, Mapping) else None
    return params


def overrides(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Name and value of what is set, of plain numbers, words, true, false and null."""
    for place, word in enumerate(words):
        text = None
        if word in OPTIONS and place + 1 < len(words):
            text = words[place + 1]
        elif word.startswith("--set-param="):
            text = word.partition("=")[2]
        elif word.startswith("-S") and not word.startswith("-S="):
            text = word[2:]

        match = _PLAIN.fullmatch(text or "")
        if match is None:
            continue

        try:
            value = YAML(typ="safe").load(match[2])
        except YAMLError:
            continue
        if isinstance(value, bool | int | float) or (value is None and match[2] == "null"):
            yield match[1], value


def anchor_of(text: str) -> tuple[int, str] | None:
    """Line, from 1, and name of the first anchor in a YAML text; None without one.

    The text is valid; the library's two readers do not agree about all of it, and one that this
    reader refuses counts as one without an anchor.
    """
    if "&" not in text:
        return None
    with suppress(YAMLError):
        for token in YAML(typ="safe", pure=True).scan(text):
            if isinstance(token, AnchorToken):
                return token.start_mark.line + 1, token.value
    return None
