from __future__ import annotations

import numpy as np
import pytest

from optimizer.core.stats.comparison import Arm, Comparison, Design, compare
from optimizer.core.stats.decisions import Candidate, Check, Goal, Guardrail, Pace, decide, non_inferiority
from optimizer.core.stats.moments import Moments

GOOD = Check("srm", passed=True, detail="fine")
BAD = Check("srm", passed=False, detail="5,000 to 5,600 units where 1 to 1 was asked for")


def judged(a: int, b: int, n: int = 4000, **design: float) -> Comparison:
    arms = {"a": Arm(Moments.of_conversions(n, a)), "b": Arm(Moments.of_conversions(n, b))}
    return compare(arms, "a", Design("fixed", 0.05, design.get("planned")))[0]


def test_a_red_check_is_investigated_never_shipped() -> None:
    decision = decide([GOOD, BAD], [Candidate(judged(400, 600))], units=8000, planned=8000)
    assert decision.action == "investigate"
    assert BAD.detail in decision.reasons


def test_a_better_arm_ships_only_with_every_guardrail() -> None:
    safe = Guardrail("speed", non_inferior=True, detail="speed holds")
    open_ = Guardrail("returns", non_inferior=None, detail="returns: too early")
    primary = judged(400, 600)
    assert decide([GOOD], [Candidate(primary, guardrails=[safe])], units=8000, planned=8000).action == "ship"
    held = decide([GOOD], [Candidate(primary, guardrails=[safe, open_])], units=8000, planned=8000)
    assert held.action == "continue"
    assert open_.detail in held.reasons


def test_harm_stops_and_direction_matters() -> None:
    worse = judged(600, 400)
    assert decide([GOOD], [Candidate(worse)], units=8000, planned=9000).action == "stop"
    assert decide([GOOD], [Candidate(worse, increase_is_good=False)], units=8000, planned=9000).action == "ship"


def test_the_end_of_the_plan_without_a_difference_stops() -> None:
    assert decide([GOOD], [Candidate(judged(400, 405))], units=8000, planned=8000).action == "stop"


def test_before_the_plan_is_reached_nothing_fixed_is_decided() -> None:
    early = decide([GOOD], [Candidate(judged(400, 600, planned=20_000))], units=8000, planned=20_000)
    assert early.action == "continue"
    assert any("12,000" in reason for reason in early.reasons)


def test_every_reason_names_numbers() -> None:
    for a, b in ((400, 600), (600, 400), (400, 405)):
        decision = decide([GOOD], [Candidate(judged(a, b))], units=8000, planned=8000)
        assert any(any(letter.isdigit() for letter in reason) for reason in decision.reasons)


@pytest.mark.parametrize("method", ["fixed", "sequential"])
def test_non_inferiority_errs_at_most_at_its_rate(method: str) -> None:
    rng = np.random.default_rng(3)
    shown = 0
    for _ in range(1_000):
        control = Moments.of_conversions(4000, int(rng.binomial(4000, 0.3)))
        treatment = Moments.of_conversions(4000, int(rng.binomial(4000, 0.3 * 0.95)))  # exactly on the margin
        shown += non_inferiority(control, treatment, 0.05, 0.05, method=method, planned_pair=8000)[0]  # type: ignore[arg-type]
    assert shown / 1_000 <= 0.07
    assert shown / 1_000 >= (0.03 if method == "fixed" else 0.0)


def guardrail(*, shown: bool, harmful: bool = False, missing: int = 0) -> Guardrail:
    return Guardrail("speed", shown, "Guardrail speed: 1.5%.", harmful, missing)


def test_a_harmed_guardrail_stops_even_a_winner() -> None:
    harmed = Candidate(judged(400, 600), guardrails=[guardrail(shown=False, harmful=True)])
    found = decide([GOOD], [harmed], units=8000, planned=8000)
    assert found.action == "stop"
    assert "Guardrail speed: 1.5%." in found.reasons


def test_harm_to_the_primary_stops_before_the_plan_is_reached() -> None:
    hurt = Candidate(judged(400, 395), harm_p_value=0.004)
    found = decide([GOOD], [hurt], units=2000, planned=8000)
    assert found.action == "stop"
    assert any("p = .004" in reason for reason in found.reasons)
    fine = Candidate(judged(400, 395), harm_p_value=0.4)
    assert decide([GOOD], [hurt, fine], units=2000, planned=8000).action == "continue"


def test_a_winner_on_the_proxy_that_is_shown_to_lose_on_the_goal_is_stopped() -> None:
    worse = Candidate(judged(400, 600), goal=Goal(judged(300, 200)))
    found = decide([GOOD], [worse], units=8000, planned=8000)
    assert found.action == "stop"
    assert any(reason.startswith("On the goal: b is worse than a: −0.025") for reason in found.reasons)
    assert any("b is better than a" in reason for reason in found.reasons)
    for goal in (Goal(judged(300, 300)), Goal(judged(200, 300)), Goal(judged(300, 200), increase_is_good=False)):
        candidate = Candidate(judged(400, 600), goal=goal)
        assert decide([GOOD], [candidate], units=8000, planned=8000).action == "ship"


def test_harm_to_the_goal_stops_before_the_plan_is_reached() -> None:
    hurt = Candidate(judged(400, 420), goal=Goal(judged(300, 290), harm_p_value=0.004))
    found = decide([GOOD], [hurt], units=2000, planned=8000)
    assert found.action == "stop"
    assert "b harms the goal: one-sided p = .004, below 0.01." in found.reasons


def test_an_arm_that_nobody_is_sent_to_is_not_waited_for() -> None:
    off = Candidate(Comparison("c", "a", "zero_weight", "It has no weight."))
    hurt = Candidate(judged(400, 395), harm_p_value=0.004)
    assert decide([GOOD], [hurt, off], units=2000, planned=8000).action == "stop"
    assert decide([GOOD], [off], units=2000, planned=8000).action == "continue"


def test_shipping_names_the_arm_and_the_shrunk_effect() -> None:
    found = decide(
        [GOOD], [Candidate(judged(400, 600), guardrails=[guardrail(shown=True)])], units=8000, planned=8000
    )
    assert (found.action, found.variant) == ("ship", "b")
    assert any("partly lucky" in reason for reason in found.reasons)


def test_continue_says_how_many_more_and_how_long() -> None:
    waiting = Candidate(judged(400, 600), guardrails=[guardrail(shown=False, missing=3_001)])
    found = decide([GOOD], [waiting], units=8000, planned=8000, pace=Pace(1_000))
    assert (found.action, found.more_units, found.more_days) == ("continue", 3_001, 4)
    assert any("3,001 more" in reason and "4 days" in reason for reason in found.reasons)
    undecided = decide([GOOD], [Candidate(judged(400, 410))], units=8000, planned=20_000, pace=Pace(5_000))
    assert (undecided.more_units, undecided.more_days) == (12_000, 3)


def test_those_who_wait_for_their_window_are_not_asked_for_again() -> None:
    weak = [Candidate(judged(400, 410))]
    found = decide([GOOD], weak, units=8000, planned=20_000, pace=Pace(5_000, waiting=4_000, window_days=7))
    assert (found.more_units, found.more_days) == (8_000, 9)
    assert "8,000 more visitors of 20,000 planned, 9 days at 5,000 a day; they count once" in found.reasons[-1]
    assert "4,000 are waiting" in found.reasons[-1]
    over = decide([GOOD], weak, units=8000, planned=10_000, pace=Pace(5_000, waiting=4_000, window_days=6.5))
    assert (over.action, over.more_units, over.more_days) == ("continue", 0, 7)
    assert over.reasons[-1].startswith("No more visitors of 10,000 planned: 4,000 who were exposed count once their")


def test_what_has_ended_is_never_told_to_continue() -> None:
    weak, over = [Candidate(judged(400, 410))], Pace(5_000, ended=True)
    short = decide([GOOD], weak, units=8000, planned=20_000, pace=over)
    assert (short.action, short.more_units) == ("stop", None)
    assert short.reasons[-1] == "The test has ended, 12,000 visitors short of 20,000 planned."
    assert decide([GOOD], weak, units=8000, planned=None, pace=over).reasons[-1].endswith("no difference is shown.")
    held = [Candidate(judged(400, 600), guardrails=[guardrail(shown=False, missing=3_001)])]
    found = decide([GOOD], held, units=8000, planned=8000, pace=over)
    assert found.action == "stop"
    assert found.reasons[-1] == "The test has ended, 3,001 visitors before the guardrails have their power."
    last = Pace(5_000, waiting=700, window_days=6.5, ended=True)
    found = decide([GOOD], weak, units=8000, planned=20_000, pace=last)
    assert (found.action, found.more_units, found.more_days) == ("continue", 0, 7)
    assert "700 who were exposed" in found.reasons[-1]
    assert decide([GOOD], [Candidate(judged(400, 600))], units=8000, planned=20_000, pace=over).action == "ship"
