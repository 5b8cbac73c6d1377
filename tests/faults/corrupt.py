"""Ways to break a file or a params mapping, drawn from a seeded generator."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from stages.store.tensors import read_tensors, write_tensors

WORDS = (
    *(
        "",
        " ",
        "\n",
        "\0",
        "x; touch marker",
        "$(touch marker)",
        "../../x",
        "naïve",
        "數",
        "\ud800",
        "1",
        "1.5",
    ),
    *(
        "nan",
        "true",
        "null",
        "60k",
        "9" * 400 + "k",
        "0k",
        "conv2",
        "mlp1",
        "C1",
        "lr",
        "order",
        "cpu",
    ),
)
NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 64, 65, 1024, 1025, 65536, 2**31, 2**32, 2**63, 2**64, 10**30, 10**400),
    *(0.0, -0.0, 0.5, 1.0, 1.5, -1e-9, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
)
JUNK = (
    b"",
    b"\0",
    b"\xff" * 8,
    b"\n",
    b'"',
    b"{",
    b"[" * 2000,
    b"NaN",
    b"-",
    b"9" * 5000,
    b",",
    b"}}",
    b"]",
    b"1e999",
)


def spoil(rng: Random, data: bytes, other: bytes = b"") -> bytes:
    """`data` with one to three faults: bits flipped, cut, lengthened, moved, or mixed with `other`."""
    broken = data
    while broken == data:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            broken = _spoil_once(rng, broken, other)
    return broken


def _spoil_once(rng: Random, data: bytes, other: bytes) -> bytes:
    first, last = sorted((_place(rng, data), _place(rng, data)))
    middle = data[first:last]
    match rng.randrange(11):
        case 0 | 1 | 2:  # one bit
            place = min(_place(rng, data), max(len(data) - 1, 0))
            return (
                data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
                if data
                else b"?"
            )
        case 3:
            return data[:first]
        case 4:
            return (
                data[:first]
                + rng.choice((*JUNK, rng.randbytes(rng.randrange(1, 40))))
                + data[first:]
            )
        case 5:
            return data[:first] + data[last:]
        case 6:
            return data[:first] + middle + data[first:]
        case 7:
            return data[:first] + bytes(len(middle)) + data[last:]
        case 8:
            return data[:first] + other[first:]
        case 9:
            return data[:first] + middle[::-1] + data[last:]
        case _:
            return data[:first] + rng.choice(JUNK) + data[first + rng.randrange(1, 9) :]


def _place(rng: Random, data: bytes) -> int:
    """Anywhere, more often near the start, where formats keep their headers, and the end."""
    ends = rng.choice((len(data), len(data), min(len(data), 300)))
    place = rng.randint(0, ends)
    return len(data) - place if rng.random() < 0.2 else place


def edit_head(rng: Random, data: bytes) -> bytes:
    """A safetensors file with an edited JSON head of the right length, and its own arrays."""
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    if rng.random() < 0.3:
        meta = json.loads(head["__metadata__"]["json"])
        head["__metadata__"]["json"] = json.dumps(edit(rng, meta))
    else:
        head = edit(rng, head)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def rewrite(rng: Random, path: Path) -> None:
    """Replace a tensor file by one with other arrays or header, and the right checksums."""
    arrays, header = read_tensors(path)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(arrays) or ["images"])
        array = arrays.get(name, np.zeros(3, np.uint8))
        match rng.randrange(7):
            case 0:
                arrays.pop(name, None)
            case 1:
                arrays[f"{name}2"] = arrays.pop(name, array)
            case 2:
                arrays[name] = array.astype(
                    rng.choice((np.float64, np.float32, np.int64, np.bool_, np.int8))
                )
            case 3:
                arrays[name] = array.reshape(-1)[: rng.randint(0, array.size)]
            case 4:
                arrays[name] = array[: rng.randint(0, len(array))] if array.ndim else array[None]
            case 5:
                arrays[name] = array[..., None]
            case _:
                header = edit(rng, header)
    try:
        write_tensors(path, arrays, header)
    except ValueError:  # NaN in the header: not written
        path.write_bytes(path.read_bytes()[:-1])


def edit(rng: Random, value: Any) -> Any:
    """A copy of plain JSON data with one to three edits."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _edit_once(rng, value)
    return value


def _edit_once(rng: Random, value: Any) -> Any:
    places = list(_places(value))
    if not places:
        return junk(rng)
    parent, key = rng.choice(places)
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            parent[key] = junk(rng)
        case 4:
            parent[key] = _near(rng, parent[key])
        case 5:
            del parent[key]
        case 6:
            parent[key] = rng.choice(
                ([parent[key]], {"value": parent[key]}, [parent[key]] * 2, {}, [])
            )
        case 7:
            source, name = rng.choice(places)
            parent[key] = copy.deepcopy(source[name])
        case 8 if isinstance(parent, dict):
            parent[_misspelt(rng, str(key))] = parent.pop(key)
        case 8:
            parent.insert(key, junk(rng))
        case _ if isinstance(parent, dict):
            parent[rng.choice((*WORDS, _misspelt(rng, str(key)), 1, 0.5, True, None))] = junk(rng)
        case _:
            parent.extend(copy.deepcopy(parent))
    return value


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _near(rng: Random, value: Any) -> Any:
    if isinstance(value, str):
        return rng.choice((_misspelt(rng, value), value.upper(), f" {value}", f"{value}\n"))
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        return not value
    return rng.choice(
        (
            str(value),
            value + 1,
            -value,
            value * 2,
            float(value),
            value * 1000,
            value / 3,
            bool(value),
        )
    )


def _misspelt(rng: Random, word: str) -> str:
    place = rng.randint(0, len(word))
    first, rest = word[:place], word[place:]
    return rng.choice((first + rest[1:], f"{first}x{rest}", word.swapcase(), f"{word} "))


def junk(rng: Random) -> Any:
    """A value that seldom fits."""
    flat: list[Any] = [
        rng.choice(WORDS),
        rng.choice(NUMBERS),
        rng.choice((None, True, False)),
        rng.choice(NUMBERS),
    ]
    return rng.choice(
        (
            *flat,
            [],
            {},
            [rng.choice(flat)],
            {str(rng.choice(WORDS)): rng.choice(flat)},
            flat,
            [[[[]]]],
        )
    )
