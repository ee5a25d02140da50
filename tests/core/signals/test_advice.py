from __future__ import annotations

from typing import Any

import pytest

from optimizer.core.signals.advice import Evidence, advise
from optimizer.core.signals.fourfold import Counts, figures
from optimizer.core.signals.increments import Gain, Increment
from optimizer.core.signals.stability import Drift, Reversal
from optimizer.core.stats.effects import Interval

VIDEO = Counts(1_000, 120, 9_000, 270)  # 12% of those who watched bought, 3% of the others
SURE, NOTHING = Gain(0.01, 0.008, 0.02), Gain(0.0001, -0.001, 0.0)
TAKEN_UP = Increment(alone=SURE, beyond=SURE, taken_up=True, covered_by=None)
COVERED = Increment(alone=SURE, beyond=NOTHING, taken_up=False, covered_by="size_guide")
USELESS = Increment(alone=NOTHING, beyond=NOTHING, taken_up=False, covered_by=None)


def evidence(counts: Counts, q_value: float | None, **more: Any) -> Evidence:
    given = {"reach": 0.1, "prerequisite_share": 0.3, "increment": TAKEN_UP, **more}
    return Evidence(figures=figures(counts), q_value=q_value, **given)


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        (evidence(VIDEO, 0.001), "promote", "lift 4.00"),
        (evidence(VIDEO, 0.001, increment=None), "promote", "too few converted"),
        (evidence(VIDEO, 0.001, increment=COVERED), "keep", "size_guide says what it says"),
        (evidence(VIDEO, 0.001, increment=USELESS), "keep", "adds nothing sure"),
        (evidence(VIDEO, 0.001, prerequisite_share=0.97), "keep", "97% of converters did it first"),
        (evidence(VIDEO, 0.001, reach=0.99), "watch", "tells nobody apart"),
        (evidence(Counts(100, 4, 900, 27), 0.4), "watch", "q = .4"),  # too few to tell
        (evidence(Counts(50_000, 5_000, 50_000, 5_020), 0.9), "drop", "0.8 to 1.25"),
        (evidence(Counts(50_000, 5_500, 50_000, 5_000), 0.001), "drop", "No difference"),  # real, and too small
        (evidence(Counts(5_000, 200, 5_000, 500), 0.001), "keep", "less often"),  # predicts the opposite
        (evidence(Counts(9_000, 560, 9_000, 455), 0.01), "keep", "too little"),
        (evidence(Counts(0, 0, 100, 10), None), "watch", "not yet units"),
    ],
)
def test_the_recommendation_follows_all_that_is_known(given: Evidence, expected: str, said: str) -> None:
    advice = advise(given)
    assert advice.recommendation == expected
    assert said in advice.reasons[0]


def test_signs_that_differ_and_drift_are_said() -> None:
    opposed = Reversal("device", "opposed", 1.3, 1.3, Interval(1.1, 1.5), ("desktop", "mobile"))
    turned = Reversal("source", "reversed", 0.7, 2.1, Interval(1.6, 2.8), ())
    drifting = Drift(0.4, 0.001, 0.2, 0.1, flagged=True)
    jumping = Drift(None, None, 0.001, 0.8, flagged=True)
    kept = advise(evidence(VIDEO, 0.001, reversals=(opposed,)))
    assert kept.recommendation == "keep"
    assert "desktop, mobile" in kept.reasons[1]
    promoted = advise(evidence(VIDEO, 0.001, reversals=(turned,), drift=drifting))
    assert promoted.recommendation == "promote"
    assert "turned around by source: 0.70 over everybody, 2.10" in promoted.reasons[1]
    assert "0.40 times" in promoted.reasons[2]
    assert "I² = 80%" in advise(evidence(VIDEO, 0.001, drift=jumping)).reasons[1]
