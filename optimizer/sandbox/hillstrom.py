"""Hillstrom's MineThatData e-mail test (2008): a real, randomised experiment, as its published table per arm.

Source: Kevin Hillstrom, "The MineThatData E-Mail Analytics and Data Mining Challenge", 20 March 2008. Customers were
sent no e-mail, one about men's or one about women's merchandise; visits and purchases of the next two weeks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HillstromArm:
    """One arm.

    Attributes:
        customers: Customers in it.
        visits: Of those, how many visited the site (micro conversion).
        conversions: Of those, how many bought (macro conversion).
    """

    customers: int
    visits: int
    conversions: int


CONTROL = "no_email"
HILLSTROM: dict[str, HillstromArm] = {
    CONTROL: HillstromArm(21_306, 2_262, 122),
    "mens_email": HillstromArm(21_307, 3_894, 267),
    "womens_email": HillstromArm(21_387, 3_238, 189),
}
