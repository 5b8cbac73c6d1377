"""docs/params.md: every key has a meaning, and the page allows what the settings allow."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from commands.sizing.scales import names
from stages.settings.read import SECTIONS
from tools import params_page
from tools.allowed import ENTRY, KINDS, Key, in_words, keys
from tools.comments import Comment, parsed, read
from tools.pocket import ROOT, composed

SCALES = {name: composed(name) for name in names()}
KEYS = [key for section in SECTIONS for key in keys(section, [*SCALES.values()])]
BOUNDS = re.compile(
    r"(?:whole )?number, (?P<above>above )?(?P<low>[\d.,]+)(?: to (?P<high>[\d.,]+)$)?"
)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_is_what_the_tool_makes() -> None:
    assert params_page.PAGE.read_text() == params_page.page(), (
        "run python -m tools.params_page --write"
    )


def leaves(node: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of a params file; a range, a box and a list of names are leaves."""
    if isinstance(node, dict) and node and "low" not in node:
        for key, value in node.items():
            yield from leaves(value, (*above, key))
    else:
        yield above


@pytest.mark.parametrize("name", names())
def test_every_key_of_every_scale_is_on_the_page(name: str) -> None:
    listed = set(re.findall(r"^\| `([\w.-]+)` \|", params_page.PAGE.read_text(), re.M))
    for path in leaves(SCALES[name]):
        if path[0] in ("rows", "hard_rows", "ablation_rows"):
            ends = [
                (path[0], ENTRY, *path[2:end]) for end in (3, 4)
            ]  # what boxes and space hold has no line
            assert any(".".join(end) in listed for end in ends), path
        else:
            assert ".".join(path) in listed, path


@pytest.mark.parametrize("key", ["sweep.lag", "mirror", "seed", "resamples"])
def test_a_key_without_a_meaning_is_refused(key: str) -> None:
    said = {
        path: words
        for path, words in params_page.comments(SCALES["paper"]).items()
        if path[-1] != key.split(".")[-1]
    }
    with pytest.raises(
        ValueError, match=rf"{key} has no meaning: add a comment to it in scales/paper.yaml"
    ):
        for section in SECTIONS:
            params_page.lines(section, said, SCALES)


def test_every_line_has_a_meaning_that_is_no_list_of_values() -> None:
    said = params_page.comments(SCALES["paper"])
    for key in KEYS:
        found = params_page.meaning(key, said)
        assert re.match(r"\S+( \S+)+", found.meaning), key.name
        assert not re.fullmatch(r"[\w-]+( \| [\w-]+)*", found.meaning), key.name


def numbers() -> list[tuple[Key, float, float]]:
    """Keys with a number, and a value just below and just above the allowed (else infinite)."""
    found = []
    for key in KEYS:
        match = BOUNDS.match(key.allowed)
        if match and ENTRY not in key.path:
            low, high = (float((match[end] or "inf").replace(",", "")) for end in ("low", "high"))
            step = 1 if key.allowed.startswith("whole") else 1e-6
            found.append((key, low if match["above"] else low - step, high + step))
    return found


@pytest.mark.parametrize(
    ("key", "below", "above"), numbers(), ids=lambda each: getattr(each, "name", None)
)
def test_what_is_outside_is_refused_and_the_ends_are_not(
    key: Key, below: float, above: float
) -> None:
    kind, step = TypeAdapter(KINDS[key.path[0]]), 1 if key.allowed.startswith("whole") else 1e-6
    for value, fine in ((below, False), (below + step, True), (above - step, True), (above, False)):
        if value == float("inf"):
            continue
        section = copy.deepcopy({key.path[0]: SCALES["smoke"][key.path[0]]})
        *parents, last = key.path
        node: Any = section
        for part in parents:
            node = node[part]
        node[last] = int(value) if step == 1 else value
        try:
            kind.validate_python(section[key.path[0]], strict=False)
            refused = ""
        except ValidationError as error:
            refused = ".".join(map(str, error.errors()[0]["loc"])) or "seed"
        if not fine:
            assert refused and last in (*refused.split("."), "seed"), (key.name, value)
        elif (
            "sweep" not in key.path and key.path[0] != "prepare"
        ):  # there are rules between their keys
            assert not refused, (key.name, value)
    assert len(numbers()) > 30


def test_limits_of_a_space_are_those_that_refuse() -> None:
    said = {key.path[-1]: key.allowed for key in KEYS if key.path[1:2] == ("space",)}
    assert (
        said["lr"] == "above 0"
        and said["momentum"] == "0 to 1 (excluded)"
        and said["D_h"] == "0 to 0.5"
    )
    assert said["weight_decay"] == "0 or more" and said["DOc1"] == "0 to 1 (excluded)"


def test_no_words_for_an_unknown_type() -> None:
    with pytest.raises(ValueError, match="no words for"):
        in_words({"type": "date"}, {})


def test_comments_fall_into_meaning_unit_and_source() -> None:
    assert parsed(["ours: of one step (images)"]) == Comment("of one step", "images", "ours")
    assert parsed(["a place (in it) [2.7, 6.1]"]) == Comment("a place (in it)", "", "2.7, 6.1")
    assert parsed(["so many, e.g. [1, 4], or (px) [Table 2]"]) == Comment(
        "so many, e.g. [1, 4], or", "px", "Table 2"
    )
    assert parsed(["one", "two (s)"]) == Comment("one; two", "s")
    text = "a:    # about a\n      # b: about b (px)\n  b: 1\n  c: {d: 2}   # about c\n# about the next\n"
    text += "e: 'x'  # last\n"
    assert read(text) == {
        ("a",): Comment("about a"),
        ("a", "b"): Comment("about b", "px"),
        ("a", "c"): Comment("about c"),
        ("e",): Comment("last"),
    }


def test_readers_are_those_of_the_pipeline() -> None:
    stages = {
        "one": {"params": ["a", "b.c"]},
        "two": {"params": ["b"]},
        "three": {"params": ["d.${item.row}"]},
        "four": {},
    }
    assert params_page.readers(stages, "b.c") == ("one", "two")
    assert params_page.readers(stages, "b.d") == ("two",)
    assert params_page.readers(stages, "b") == ("one", "two")
    assert (
        params_page.readers(stages, "d") == ("three",) and params_page.readers(stages, "ab") == ()
    )
