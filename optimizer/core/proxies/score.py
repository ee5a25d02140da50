"""Does a proxy still keep what past tests promise of it? Each test whose goal has matured is one answer.

Agreement alone says little: noise that both share makes signs agree, and weak tests disagree by chance. So each test
brings the chance of agreement that was known before, and what is watched is the evidence that agreements come less
often than those chances say. It is a sum that starts over whenever it falls below nothing, so that a long good past
does not hide a bad present; and it may be read after every test, because on average it takes at least `ALARM` tests
to reach the alarm by luck alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALARM = 50.0
DRIFTED_SHARE = 0.5  # the alternative: agreement comes half as often as it should
SURE = 1e-3  # no chance is taken for more certain than this


class Verdict(NamedTuple):
    """One matured test.

    Attributes:
        agreed: Whether what was foretold came.
        chance: How likely that was, by what was known before; None where nothing was.
    """

    agreed: bool
    chance: float | None


class Score(NamedTuple):
    """How often a proxy was right.

    Attributes:
        agreed: Tests in which it was.
        of: Tests.
        expected: Agreements expected in those tests whose chance was known; None when there is none.
        known: How many those are.
        evidence: That agreement comes less often than it should; 1 is none.
    """

    agreed: int
    of: int
    expected: float | None
    known: int
    evidence: float

    @property
    def drifted(self) -> bool:
        """Whether the evidence has reached the alarm."""
        return self.evidence >= ALARM


def score(verdicts: Sequence[Verdict]) -> Score:
    """Keep score.

    Args:
        verdicts: In the order in which goals matured.

    Returns:
        The score; its alarm comes by luck alone at most once in `ALARM` tests on average.

    Source:
        The CUSUM form of Shin, Ramdas, Rinaldo, "E-detectors", arXiv 2203.03532.
    """
    chances = [one.chance for one in verdicts if one.chance is not None]
    evidence = 1.0
    for one in verdicts:
        if one.chance is None:
            continue
        chance = min(1 - SURE, max(SURE, one.chance))
        fewer = DRIFTED_SHARE * chance
        evidence = max(evidence, 1.0) * (fewer / chance if one.agreed else (1 - fewer) / (1 - chance))
    return Score(
        agreed=sum(one.agreed for one in verdicts),
        of=len(verdicts),
        expected=sum(chances) if chances else None,
        known=len(chances),
        evidence=max(evidence, 1.0),
    )
