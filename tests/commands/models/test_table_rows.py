"""table_rows and table_names: one row an input, by hand; names that cannot be mixed up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.models.failed import NOT_FINITE
from commands.models.table_names import table_name
from commands.models.table_rows import AskedFile, TableForm

LOGITS = np.array([[0, np.log(3)], [np.nan, 1], [np.log(4), 0]], np.float32)
FILES = [
    AskedFile("a", "dog", 2, ""),
    AskedFile("b", "cat", None, "no picture"),
    AskedFile("c", "cat", 1, "cut"),
]


def test_rows_by_hand() -> None:
    form = TableForm(("cat", "dog"), True, True, 2, "logits")
    found = form.rows(FILES, LOGITS).to_pydict()
    assert found["file"] == ["a", "a", "b", "c"] and found["row"] == [0, 1, None, 0]
    assert found["true"] == ["dog", "dog", "cat", "cat"]
    assert found["class"] == ["dog", None, None, "cat"] and found["index"] == [1, None, None, 0]
    assert found["index_2"] == [0, None, None, 1]
    assert found["probability"] == [0.75, None, None, pytest.approx(0.8)]
    assert found["logit:dog"] == [pytest.approx(np.log(3)), None, None, 0]
    assert found["note"] == [None, None, None, "cut"]
    assert found["error"] == [None, NOT_FINITE, "no picture", None]


def test_columns_are_those_that_were_asked_for() -> None:
    classes = ("cat", "dog")
    assert TableForm(classes, False, False, 1, None).schema.names == [
        *("file", "class", "index", "probability", "note", "error")
    ]
    three = TableForm(classes, False, False, 3, "probabilities")
    assert three.schema.names[1:-2] == [
        *("class", "index", "probability", "class_2", "index_2", "probability_2"),
        *("probability:cat", "probability:dog"),
    ]
    found = three.rows([AskedFile("x", None, 1, "")], LOGITS[:1])
    assert found["probability:cat"].to_pylist() == [0.25]
    assert three.rows([FILES[1]], LOGITS[:0])["error"].to_pylist() == ["no picture"]


def test_classes_of_one_name_have_no_columns() -> None:
    for labelled, each in ((True, None), (False, "logits")):
        with pytest.raises(ValueError, match="several classes called 'a': neither --labels nor"):
            TableForm(("a", "b", "a"), False, labelled, 1, each)
    assert TableForm(("a", "b", "a"), False, False, 3, None).schema.names[-3] == "probability_3"


@given(st.lists(st.binary(min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_two_paths_have_two_names_in_utf_8(paths: list[bytes]) -> None:
    import os

    one, two = (table_name(os.fsdecode(path)) for path in paths)
    assert one != two
    one.encode("utf-8")


def test_names_in_utf_8_stay_as_they_are() -> None:
    assert table_name("ü/a b,\n'\".png") == "ü/a b,\n'\".png"
    assert table_name("a\udce9\\xe9") == r"a\xe9\\xe9"
