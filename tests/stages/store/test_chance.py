"""Whether an accuracy says that a net has learnt anything."""

from __future__ import annotations

import numpy as np
import pytest

from stages.ensemble import check_knowledge
from stages.settings.transfer import Ensemble
from stages.store import chance

BALANCED = np.arange(1000) % 10
ONE_SIDED = np.array([0] * 900 + [1] * 100)


@pytest.mark.parametrize(
    ("accuracy", "labels", "at_chance"),
    [
        (0.1, BALANCED, True),
        (0.12, BALANCED, True),  # two standard deviations, as one net in fifty has by luck
        (0.13, BALANCED, False),
        (0.0, BALANCED, True),
        (1.0, BALANCED, False),
        (0.9, ONE_SIDED, True),
        (0.91, ONE_SIDED, True),
        (0.93, ONE_SIDED, False),
        (0.5, ONE_SIDED, True),
        (1.0, np.zeros(50, np.int64), True),  # one class: nothing to know
        (0.3, BALANCED[:20], True),  # too few images to say
        (0.4, BALANCED[:20], False),
    ],
)
def test_chance_is_the_share_of_the_commonest_class(
    accuracy: float, labels: np.ndarray, at_chance: bool
) -> None:
    assert chance.at_chance(accuracy, labels) is at_chance


def test_an_ensemble_at_chance_is_refused_unless_it_is_allowed() -> None:
    refuse, allow = Ensemble(2), Ensemble(2, "allow")
    with pytest.raises(
        ValueError, match=r"at chance: right on 90.5 % of 1,000 images, and .* 90.0 %"
    ):
        check_knowledge(0.905, ONE_SIDED, refuse)
    check_knowledge(0.905, ONE_SIDED, allow)
    check_knowledge(0.95, ONE_SIDED, refuse)
