from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from optimizer.web.charts import Axis, Estimate, Line, beside, diagram, forest
from optimizer.web.drawing import GREY, INK, MEDIA_TYPES, Spec, log_ticks, render, spread

HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ 7*7 }}"
ROWS = [
    Estimate("add_to_cart", "primary · treatment", 0.07, (0.012, 0.131), "+7.0% (+1.2% to +13.1%)", "good"),
    Estimate("revenue", "secondary", -0.04, (-1.5, 0.9), "−4.0%"),
    Estimate("refund", "guardrail", -0.08, (-0.12, -0.03), "−8.0%", "bad", margin=-0.02),
    Estimate("page_time", "secondary", None, None, "too early"),
]
LINES = [Line("purchase", [(0.02, 2e6), (0.1, 80_679), (0.5, 3_227)], (0.1, 80_679)), Line("cart", [(0.1, 3_760)])]


def the_forest(rows: list[Estimate] = ROWS, title: str = "Ship treatment") -> Spec:
    return forest(rows, title=title, subtitle="Relative effect", axis="Relative effect")


def the_diagram() -> Spec:
    power = Line("purchase", [(0.0, 0.05), (8.0, 0.8)], band=[(0.0, 0.0, 0.1), (8.0, 0.7, 0.9)])
    effect, visitors = Axis("Effect", "+.0%", log=True), Axis("Visitors", "~s", log=True)
    share = Axis("Power", "~%", domain=(0, 1), reference=0.8)
    parts = [
        diagram(LINES, x=effect, y=visitors, title="a", subtitle="b"),
        diagram([power], x=Axis("Weeks"), y=share, title="c", subtitle="d"),
    ]
    return beside(parts, title="The goal takes 16 weeks", subtitle="α = 5%")


def texts(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 - our own picture
    return ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("spec", [the_forest(), the_diagram(), the_forest([])], ids=["forest", "diagram", "empty"])
def test_a_picture_is_drawn_in_every_form_and_twice_the_same(spec: Spec) -> None:
    for form in MEDIA_TYPES:
        first, second = render(spec, form), render(spec, form)
        assert first == second
    assert render(spec, "png").startswith(b"\x89PNG")
    assert json.loads(render(spec, "vega")) == spec
    svg = render(spec, "svg")
    assert b"NaN" not in svg
    assert b"http" not in svg.replace(b"http://www.w3.org/", b"")  # nothing is fetched


def test_texts_say_what_is_seen_and_how_wide_an_interval_really_is() -> None:
    shown = texts(render(the_forest(), "svg"))
    for words in ("Ship treatment", "Relative effect", "add_to_cart", "primary · treatment", "too early"):
        assert words in shown
    assert "0" in shown
    assert re.search(rb"aria-label|<title", render(the_forest(), "svg"))


def test_one_wide_interval_does_not_squeeze_the_others() -> None:
    drawn = next(rows for rows in the_forest()["datasets"].values() if "words" in rows[0])
    wide = drawn[1]
    assert wide["low"] == wide["cut_low"] > -1.5
    assert wide["high"] == wide["cut_high"] < 0.9
    assert drawn[0]["high"] == 0.131
    assert drawn[0]["cut_high"] is None


def test_names_are_texts_whatever_they_hold() -> None:
    row = Estimate(HOSTILE, HOSTILE, 0.1, (0.0, 0.2), HOSTILE)
    svg = render(the_forest([row], title=HOSTILE), "svg")
    assert b"<script" not in svg
    assert HOSTILE in texts(svg)


def test_letters_are_dark_on_white_and_readable_on_both_without_a_background() -> None:
    svg = render(the_forest(), "svg").decode()
    assert GREY in svg
    assert 'fill="white"' not in svg
    assert INK not in svg


def test_every_colour_is_told_from_both_backgrounds() -> None:
    svg = render(the_diagram(), "svg").decode() + render(the_forest(), "svg").decode()
    for colour in {found.upper() for found in re.findall(r"#[0-9a-fA-F]{6}", svg)}:
        for background in (1.0, 0.0):
            assert contrast(luminance(colour), background) >= 3, colour  # WCAG 1.4.11, graphical objects


def test_a_machine_without_fonts_draws_the_same() -> None:
    bare = (
        "import sys; from tests.web.test_charts import the_forest; from optimizer.web.drawing import render;"
        "sys.stdout.buffer.write(render(the_forest(), 'png'))"
    )
    hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/share/fonts && exec "$0" -c "$1"']
    done = subprocess.run([*hidden, sys.executable, bare], capture_output=True, check=False, timeout=60)
    if done.returncode and not done.stdout:
        pytest.skip("fonts can be hidden as root only")
    here = render(the_forest(), "png")
    assert size(done.stdout) == pytest.approx(size(here), rel=0.01)
    assert len(done.stdout) == pytest.approx(len(here), rel=0.05)  # a picture without letters is far smaller


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_ticks_are_round() -> None:
    assert log_ticks(2, 60) == [2, 5, 10, 20, 50]
    assert log_ticks(150, 2e6) == [1e3, 1e4, 1e5, 1e6]


def test_labels_keep_their_distance_and_their_order() -> None:
    assert spread([50.0, 10.0, 51.0], 16, 100) == pytest.approx([45.0, 5.0, 61.0])
    assert spread([100.0, 99.0], 16, 100) == pytest.approx([100.0, 84.0])
    assert spread([], 16, 100) == []


def test_an_unknown_form_names_the_right_ones() -> None:
    with pytest.raises(ValueError, match="svg, png, vega"):
        render(the_forest(), "gif")  # type: ignore[arg-type]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: float, second: float) -> float:
    lighter, darker = max(first, second), min(first, second)
    return (lighter + 0.05) / (darker + 0.05)


def test_pictures_side_by_side_keep_their_data() -> None:
    line = Line("a", [(0.0, 1.0), (1.0, 2.0)])
    spec = beside([diagram([line], x=Axis("x"), y=Axis("y"), title="t", subtitle="s")], title="T", subtitle="S")
    named = re.findall(r'"data": {"name": "(data-\w+)"}', json.dumps(spec["hconcat"]))
    assert named
    assert set(named) == set(spec["datasets"])
