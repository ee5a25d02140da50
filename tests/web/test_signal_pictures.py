from __future__ import annotations

import json
from pathlib import Path

import pytest

from optimizer.cli._recovery import rank_shop
from optimizer.sandbox.shop import ShopDesign, simulate_shop
from optimizer.signals.answers import SignalsAnswer
from optimizer.web.drawing import render
from optimizer.web.signal_pictures import lift_forest, value_calibration
from tests.conftest import KeyedClient


@pytest.fixture(scope="module")
def answer() -> SignalsAnswer:
    design = ShopDesign(visitors=3_000)
    return rank_shop(simulate_shop(design, 3), design)


def test_every_event_has_a_row_and_the_lifts_are_the_answers(answer: SignalsAnswer, tmp_path: Path) -> None:
    spec = lift_forest(answer)
    drawn = render(spec, "svg").decode()
    assert all(signal.event in drawn for signal in answer.signals)
    assert "Association, not cause" in drawn
    best = answer.signals[0]
    assert best.lift is not None
    rows = [row for data in json.loads(render(spec, "vega"))["datasets"].values() for row in data]
    [row] = [row for row in rows if row.get("label") == best.event]
    assert row["value"] == pytest.approx(best.lift - 1)
    (tmp_path / "forest.png").write_bytes(render(spec, "png"))
    assert (tmp_path / "forest.png").read_bytes().startswith(b"\x89PNG")


def test_every_point_of_the_calibration_is_drawn(answer: SignalsAnswer) -> None:
    spec = value_calibration(answer)
    assert answer.calibration is not None
    points = [row for data in spec["datasets"].values() for row in data if "predicted" in row]
    assert len(points) == len(answer.calibration.points) > 10
    assert "slope" in render(spec, "svg").decode()


def test_an_answer_without_signals_still_makes_pictures_that_say_why(client: KeyedClient) -> None:
    client.put("/v1/catalog/events/purchase", json={"kind": "macro"})
    for picture in ("lift", "calibration"):
        for form in ("svg", "png", "vega"):
            shown = client.get(f"/v1/signals?goal=purchase&format={form}&picture={picture}")
            assert shown.status_code == 200
    assert b"Nobody was first seen" in client.get("/v1/signals?goal=purchase&format=svg").data
    assert client.get("/v1/signals?goal=purchase&picture=pie").status_code == 422
