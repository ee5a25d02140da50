"""How numbers are written inside sentences: as people write them, and so that no line breaks within one."""

from __future__ import annotations

LEAST_SHOWN = 1e-4


def p_words(p_value: float, digits: int = 2, name: str = "p") -> str:
    """Write a p-value with its sign: ``p = .031``, and ``p < .0001`` where its digits say nothing more.

    Args:
        p_value: Between 0 and 1.
        digits: Digits that count.
        name: ``q`` where it is adjusted for the false discovery rate.
    """
    if p_value < LEAST_SHOWN:
        return f"{name} < .0001"
    return f"{name} = {p_value:.{digits}g}".replace("= 0.", "= .")


def signed(value: float, form: str = "+.4g") -> str:
    """Write an effect with its sign, a real minus: at a hyphen a line may break.

    Args:
        value: The number.
        form: As in `format`.
    """
    return f"{value:{form}}".replace("-", "−")
