"""The page's templates."""

from __future__ import annotations

import pytest

from stages.report.page.html import environment


def test_templates_escape_and_miss_nothing() -> None:
    assert environment().from_string("{{ x }}").render(x="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"
    with pytest.raises(Exception, match="'x' is undefined"):
        environment().from_string("{{ x }}").render()
