"""The libraries that run nets from elsewhere: whether they are there, and what they say."""

from __future__ import annotations

import importlib
from types import ModuleType


def extra(name: str, group: str) -> ModuleType:
    """A library of one of the extras.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"format {group} needs {name} ({error}): pip install '.[{group}]'"
        ) from None


def fault(error: Exception) -> str:
    """What an error says, on one line, or its kind.

    >>> fault(KeyError("nope"))
    "KeyError: 'nope'"
    """
    words = " ".join(str(error).split())[:300]
    if isinstance(error, KeyError):  # says the key alone
        return f"KeyError: {words}"
    return words or type(error).__name__
