from __future__ import annotations

import json
from pathlib import Path

import pytest

from optimizer.errors import ConfigurationError, InvalidInputError
from tests.cli.test_analyse import run

GIVEN = ["--proxy", "cart", "--baseline", "purchase=0.02", "--baseline", "cart=0.3"]


def test_a_plan_from_flags_alone(tmp_path: Path) -> None:
    chart = tmp_path / "plan.png"
    done = run("plan", "purchase", *GIVEN, "--daily-visitors", "1500", "--chart", str(chart))
    assert done.output.index("Plan on cart: 7,520 visitors, 1 week") < done.output.index("80,679")
    assert "21.46×" in done.output
    assert "is not yet a win on the goal" in done.output
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_every_flag_reaches_the_plan() -> None:
    shown = run(
        "plan", "revenue", "--baseline", "revenue=4", "--std", "revenue=30", "--window-hours", "revenue=48",
        "--weight", "3", "--weight", "1", "--weight", "1", "--guardrail", "refund=0.1", "--baseline", "refund=0.2",
        "--method", "group_sequential", "--looks", "3", "--alpha", "0.1", "--power", "0.9", "--relative-mde", "-0.2",
        "--daily-visitors", "1e4", "--format", "json",
    ).output  # fmt: skip
    found = json.loads(shown)
    assert (found["method"], found["alpha"], found["weights"], found["variants"]) == (
        "group_sequential", 0.1, [3.0, 1.0, 1.0], 3,
    )  # fmt: skip
    revenue, refund = found["metrics"]
    assert (revenue["kind"], revenue["relative_mde"], revenue["window_days"]) == ("mean", -0.2, 2.0)
    assert (refund["role"], refund["relative_mde"], refund["power"]) == ("guardrail", -0.1, 0.95)
    done = run("plan", "purchase", *GIVEN, "--method", "bayesian", "--accepted-loss", "0.01", "--format", "json")
    assert json.loads(done.output)["metrics"][0]["bayesian"]["relative"] == 0.01


def test_curves_on_request() -> None:
    shown = run("plan", "purchase", *GIVEN, "--daily-visitors", "1500", "--curves").output
    assert shown.index("What other effects cost") < shown.index("Smallest effect seen after")
    assert "Power at other sizes" in shown
    assert "Power at other sizes" not in run("plan", "purchase", *GIVEN).output


def test_a_guardrail_may_break_upwards() -> None:
    rail = ["--guardrail", "refund=0.1", "--baseline", "refund=0.2", "--less-is-better", "refund"]
    done = run("plan", "purchase", *GIVEN, *rail, "--format", "json")
    assert json.loads(done.output)["metrics"][-1]["relative_mde"] == 0.1
    wrong = run("plan", "purchase", *GIVEN, "--less-is-better", "cart")
    assert (wrong.exit_code, "names a --guardrail" in wrong.output) == (2, True)


def test_a_bayesian_plan_shows_the_loss_it_waits_for() -> None:
    shown = run("plan", "purchase", *GIVEN, "--method", "bayesian").output
    assert "until loss below" in shown
    assert "α = 0.05" not in shown


def test_a_narrow_terminal_cuts_nothing_off() -> None:
    shown = run("plan", "purchase", *GIVEN, "--method", "sequential", "--daily-visitors", "1500", columns=80).output
    assert "89,094 (17 weeks)" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    [row] = [line for line in shown.splitlines() if "per variant" in line]
    assert row.split("│")[2:4] == [f"{'154,492':>19} ", f"{'7,200':>16} "]


def test_a_monitored_plan_shows_when_it_stops() -> None:
    shown = run("plan", "purchase", *GIVEN, "--method", "sequential").output
    assert "expected to stop at" in shown


def test_what_is_missing_is_named_with_the_ways_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"--baseline purchase=RATE.*--url.*--data-dir"):
        run("plan", "purchase")
    with pytest.raises(InvalidInputError, match="leave the range"):
        run("plan", "purchase", *GIVEN, "--relative-mde", "3")
    with pytest.raises(InvalidInputError, match="alpha"):
        run("plan", "purchase", *GIVEN, "--alpha", "3")
    with pytest.raises(ConfigurationError, match="no data folder"):
        run("plan", "purchase", "--data-dir", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="Give a key"):
        run("plan", "purchase", "--url", "http://127.0.0.1:9")
    done = run("plan", "purchase", *GIVEN, "--chart", "plan.gif")
    assert (done.exit_code, ".svg" in done.output) == (2, True)
