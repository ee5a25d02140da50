"""Past experiments of a shop with a known truth, as the sums that an import takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Shop(NamedTuple):
    """How carts and purchases go together.

    Attributes:
        spread: Standard deviation of the true cart effects over experiments.
        slope: Purchases per cart, of true effects.
        residual: Standard deviation of what the goal does besides.
        carts: Rate in the control.
        bought: Likewise.
        follow: Of those who buy, how many have used the cart.
    """

    spread: float = 0.02
    slope: float = 0.1
    residual: float = 0.0005
    carts: float = 0.3
    bought: float = 0.03
    follow: float = 0.9


def arm(rng: np.random.Generator, shop: Shop, key: str, n: int, moved: tuple[float, float]) -> dict[str, Any]:
    """Draw n visitors one by one (as counts of the four kinds)."""
    carts, bought = shop.carts + moved[0], shop.bought + moved[1]
    both = shop.follow * bought
    kinds = np.maximum([both, carts - both, bought - both, 1 - carts - bought + both], 0.0)
    b, c, p, _ = (int(one) for one in rng.multinomial(n, kinds / kinds.sum()))
    return {"key": key, "n": n, "sums": [b + c, b + p], "cross_products": [[b + c, b], [b, b + p]]}


def experiments(rng: np.random.Generator, count: int, shop: Shop = Shop(), **more: Any) -> list[dict[str, Any]]:  # noqa: B008 - immutable
    """Draw past experiments of 10 000 to 40 000 visitors an arm."""
    found = []
    for number in range(count):
        n = int(rng.integers(10_000, 40_000))
        moved = float(rng.normal(0.002, shop.spread)) if shop.spread else 0.0
        bought = shop.slope * moved + float(rng.normal(0, shop.residual)) if shop.residual else shop.slope * moved
        found.append({
            "key": f"past-{number}", "change": ("layout", "price")[number % 2],
            "metrics": ["add_to_cart", "purchase"],
            "variants": [arm(rng, shop, "control", n, (0.0, 0.0)), arm(rng, shop, "treatment", n, (moved, bought))],
            **more,
        })  # fmt: skip
    return found
