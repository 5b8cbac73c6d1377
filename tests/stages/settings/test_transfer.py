"""Settings of the ensemble."""

from __future__ import annotations

import pytest

from stages.settings.transfer import ensemble


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1, "b": 0}, r"'?ensemble\.weights\.b'? is 0"),
        ({"a": "much"}, r"'?ensemble\.weights\.a'? is"),
        ("fond", r"'?ensemble\.weights'? is .fond..*'equal' or 'found'"),
        (3, r"'?ensemble\.weights'? is 3"),
    ],
)
def test_wrong_weights_are_named(weights: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ensemble({"ensemble": {"members": 2, "weights": weights}})
