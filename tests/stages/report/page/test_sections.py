"""The sections of the page and how they are put together."""

from __future__ import annotations

import pytest

from stages.report.page.data import PagePart
from stages.report.page.sections import merged


def test_parts_are_put_together() -> None:
    parts = [PagePart({"a": 1}, {"x": [1]}), PagePart({"b": 2}), PagePart({}, {"a": [2]})]
    assert merged(parts) == PagePart({"a": 1, "b": 2}, {"x": [1], "a": [2]})


@pytest.mark.parametrize("second", [PagePart({"a": 1}), PagePart({}, {"a": [1]})])
def test_two_sections_with_one_name_are_refused(second: PagePart) -> None:
    """Else one of the two would be drawn twice, and the other one never."""
    first = PagePart({"a": 1, "b": 2}, {"a": [1], "b": [2]})
    with pytest.raises(ValueError, match="two sections of the page give 'a': rename one"):
        merged([first, second])
