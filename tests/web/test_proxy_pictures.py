from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from optimizer.signals.proxy_shapes import EffectPoint, EffectsAnswer
from optimizer.web.drawing import MEDIA_TYPES, render
from optimizer.web.proxy_pictures import CORNERS, MOST_ELLIPSES, effects_scatter
from tests.conftest import KeyedClient
from tests.signals.past import experiments
from tests.web.test_charts import texts


def point(number: int, **changes: Any) -> EffectPoint:
    figures = {"proxy_effect": 0.01 * number, "goal_effect": 0.001 * number, "proxy_variance": 4e-6,
               "goal_variance": 1e-6, "covariance": 1e-6, "stopped_early": number == 1}  # fmt: skip
    return EffectPoint(experiment=f"p{number}", variant="b", change="", **{**figures, **changes})


def answer(points: list[EffectPoint], **changes: Any) -> EffectsAnswer:
    figures = {"status": "ok", "detail": "From 4 past experiments.", "mean": (0.01, 0.001), "slope": 0.1,
               "slope_interval": (0.05, 0.15), "naive_slope": 0.2}  # fmt: skip
    return EffectsAnswer(goal="purchase", proxy="<b>cart</b>", experiments=4, points=points, **{**figures, **changes})


def rows(spec: dict[str, Any], field: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(rows for rows in spec["datasets"].values() if rows and field in rows[0])
    return found


def test_every_point_has_the_ellipse_of_its_noise() -> None:
    spec = effects_scatter(answer([point(number) for number in range(3)]))
    corners = [(row["x"], row["y"]) for row in rows(spec, "corner") if row["of"] == 2]
    assert len(corners) == CORNERS
    # On an ellipse dᵀΞ⁻¹d = 1, and Ξ is half the mean of ddᵀ over its corners.
    away = np.array(corners) - [0.02, 0.002]
    noise = np.array([[4e-6, 1e-6], [1e-6, 1e-6]])
    np.testing.assert_allclose(np.einsum("ki,ij,kj->k", away, np.linalg.inv(noise), away), 1.0)
    np.testing.assert_allclose(2 * away.T @ away / CORNERS, noise, atol=1e-12)
    many = effects_scatter(answer([point(number) for number in range(MOST_ELLIPSES + 5)]))
    assert len(rows(many, "corner")) == MOST_ELLIPSES * CORNERS
    assert f"the {MOST_ELLIPSES} most precise" in many["description"]


def test_both_slopes_cross_at_the_mean_and_are_named() -> None:
    spec = effects_scatter(answer([point(number) for number in range(4)]))
    lines = {name: [r for r in rows(spec, "words") if r["line"] == name] for name in ("noise taken out", "naive")}
    for name, slope in (("noise taken out", 0.1), ("naive", 0.2)):
        (first, last) = lines[name][:2]
        assert (last["y"] - first["y"]) / (last["x"] - first["x"]) == pytest.approx(slope)
        assert first["y"] + slope * (0.01 - first["x"]) == pytest.approx(0.001)
    shown = texts(render(spec, "svg"))
    assert "noise taken out: 0.1" in shown
    assert "naive: 0.2" in shown
    assert any(
        text.startswith("1 of true effect on <b>cart</b> goes with 0.1 on purchase, not 0.2") for text in shown
    )


@pytest.mark.parametrize(
    "found",
    [
        answer(
            [point(1)], status="not_enough_evidence", mean=None, slope=None, slope_interval=None, naive_slope=None
        ),
        answer([point(0, proxy_variance=0.0, goal_variance=0.0, covariance=0.0)] * 3, status="no_variation"),
        answer([point(n) for n in range(3)], slope=0.0, naive_slope=-1e6, slope_interval=(-1e9, 1e9)),
    ],
)
def test_little_to_show_is_still_a_picture(found: EffectsAnswer) -> None:
    spec = effects_scatter(found)
    assert b"NaN" not in render(spec, "svg")
    json.dumps(spec, allow_nan=False)


def test_the_route_answers_in_every_form(client: KeyedClient) -> None:
    past = experiments(np.random.default_rng(1), 12)
    client.post("/v1/experiments/history", json={"experiments": past})
    path = "/v1/signals/proxies/add_to_cart/effects?goal=purchase"
    for form, media in MEDIA_TYPES.items():
        drawn = client.get(f"{path}&format={form}")
        assert (drawn.status_code, drawn.mimetype) == (200, media)
    assert client.get(path, headers={"Accept": "image/png"}).data.startswith(b"\x89PNG")
    assert client.get(path).json["experiments"] == 12
    wrong = client.get(f"{path}&format=gif")
    assert (wrong.status_code, wrong.json["errors"][0]["pointer"]) == (422, "/query/format")
