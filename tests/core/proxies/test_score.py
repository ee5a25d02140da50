from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.proxies.score import ALARM, Verdict, score


def test_nine_of_eleven_is_said_beside_what_was_expected() -> None:
    found = score([Verdict(place not in {2, 7}, 0.8) for place in range(11)])
    assert (found.agreed, found.of, found.known) == (9, 11, 11)
    assert found.expected == pytest.approx(8.8)
    assert not found.drifted


def test_three_disagreements_in_a_row_are_drift_however_good_the_past_was() -> None:
    past = [Verdict(agreed=True, chance=0.85)] * 40
    bad = Verdict(agreed=False, chance=0.85)
    assert not score([*past, bad, bad]).drifted
    assert score([*past, bad, bad, bad]).drifted
    assert score([*past, bad, bad, bad]).evidence == pytest.approx((0.575 / 0.15) ** 3)


def test_a_sound_proxy_that_agrees_at_its_chance_raises_no_alarm_for_a_long_time() -> None:
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        chances = rng.uniform(0.55, 0.95, 50)
        agreed = rng.random(50) < chances
        evidence = [
            score([Verdict(bool(a), float(c)) for a, c in zip(agreed[:n], chances[:n], strict=True)]).evidence
            for n in range(5, 51, 5)
        ]
        alarms += max(evidence) >= ALARM
    assert alarms / 400 < 0.4  # a run of 50 tests: on average at least that long until the first false alarm


def test_a_proxy_that_stopped_working_is_found_within_a_few_tests() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        agreed = rng.random(12) < 0.4
        found.append(score([Verdict(bool(one), 0.85) for one in agreed]).drifted)
    assert np.mean(found) > 0.6


def test_where_nothing_was_known_before_agreements_are_only_counted() -> None:
    found = score([Verdict(agreed=False, chance=None)] * 9)
    assert (found.agreed, found.of, found.expected, found.evidence) == (0, 9, None, 1.0)
    assert score([]).of == 0


def test_a_chance_of_one_does_not_make_one_disagreement_proof_of_everything() -> None:
    assert score([Verdict(agreed=False, chance=1.0)]).evidence == pytest.approx((1 - 0.4995) / 1e-3)
