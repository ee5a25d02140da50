from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from optimizer.cli.main import group
from optimizer.errors import InvalidInputError, OptimizerError

HILLSTROM = ["none=21306/2262", "mens=21307/3894"]


def run(*arguments: str, columns: int = 200, **options: Any) -> Result:
    done = CliRunner(env={"COLUMNS": str(columns), "OPTIMIZER_URL": "", "OPTIMIZER_KEY": ""}).invoke(
        group, list(arguments), **options
    )
    if isinstance(done.exception, OptimizerError):
        raise done.exception
    return done


def test_counts_are_judged_with_the_decision_first() -> None:
    shown = run("analyse", *HILLSTROM, "--method", "fixed").output
    assert shown.index("Ship mens") < shown.index("srm") < shown.index("18.28%")
    assert "+7.66 pp (+7 to +8.32)" in shown
    three = run("analyse", *HILLSTROM, "womens=21387/3238", "--method", "fixed").output
    assert (
        three.index("+72.1%")
        < three.index("+42.6%")
        < three.index("mens: +71.1% after")
        < three.index("+42.0% after")
    )


def test_a_narrow_terminal_gets_a_table_a_metric() -> None:
    shown = run("analyse", *HILLSTROM, "--method", "fixed", columns=80).output
    assert "conversion, primary" in shown
    assert shown.index("+72.1% (+64.1% to +80.7%)") < shown.index("+7.66 pp (+7 to +8.32)")
    assert max(map(len, shown.splitlines())) <= 80


def test_the_same_from_a_file_and_as_data(tmp_path: Path) -> None:
    by_hand = json.loads(run("analyse", *HILLSTROM, "--format", "json").output)
    file = tmp_path / "counts.csv"
    file.write_text("variant,visitors,conversions\nnone,21306,2262\nmens,21307,3894\n", encoding="utf-8")
    assert json.loads(run("analyse", "--file", str(file), "--format", "json").output) == by_hand
    variants = [
        {"key": "none", "visitors": 21306, "conversions": 2262},
        {"key": "mens", "visitors": 21307, "conversions": 3894},
    ]
    for number, body in enumerate((variants, {"variants": variants})):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        assert json.loads(run("analyse", "--file", str(file), "--format", "json").output) == by_hand
    [row] = csv.DictReader(io.StringIO(run("analyse", *HILLSTROM, "--format", "csv").output))
    assert float(row["absolute"]) == by_hand["metrics"][0]["comparisons"][0]["absolute"]


def test_values_come_by_their_sums(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("key,visitors,sum,sum_squares\na,1000,500.5,4000\nb,1000,600,5000\n", encoding="utf-8")
    found = json.loads(run("analyse", "--file", str(file), "--method", "fixed", "--format", "json").output)
    assert found["metrics"][0]["type"] == "sum"
    assert found["metrics"][0]["comparisons"][0]["absolute"] == pytest.approx(0.0995)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--file"),
        (["a=10"], "NAME=VISITORS/CONVERSIONS"),
        (["a=10/1", "b=10/2", "--weight", "a"], "NAME=NUMBER"),
        (["a=10/1", "b=10/2", "--method", "magic"], "fixed"),
    ],
)
def test_what_was_typed_wrongly_is_a_usage_error(arguments: list[str], said: str) -> None:
    done = run("analyse", *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_wrong_counts_name_their_field(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="conversions"):
        run("analyse", "a=10/11", "b=10/1")
    with pytest.raises(InvalidInputError, match="alpha"):
        run("analyse", "a=10/1", "b=10/1", "--alpha", "2")
    for name, text in (("a.csv", "colour\nred\n"), ("b.json", "{"), ("c.csv", "")):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidInputError, match=name):
            run("analyse", "--file", str(file))


def test_names_from_elsewhere_do_not_style_the_terminal() -> None:
    assert "[bold]x" in run("analyse", "[bold]x=4000/400", "b=4000/500").output
