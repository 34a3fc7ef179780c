"""How often the doctor looks: at first densely, then ever more rarely and within its budget; after a jump."""

from itertools import pairwise

from didact.doctor.pace import DENSE, LOOKS, SURPRISES, Pace


def test_late_looks_are_certain_and_ever_further_apart() -> None:
    pace = Pace(0.0)
    looks = [step for step in range(2000) if pace.due(step)]
    late = [step for step in looks if step >= DENSE]
    assert late[0] == DENSE
    assert all(1.3 < after / before < 1.5 for before, after in pairwise(late))
    assert len(looks) < 25


def test_a_loss_that_jumps_is_looked_into_a_few_times() -> None:
    pace = Pace(0.0)
    assert pace.due(DENSE)
    assert not pace.due(DENSE + 1)
    for _ in range(50):
        pace.heard(1.0)
    pace.heard(9.0)
    pace.heard(9.0)
    assert not pace.due(DENSE + 1)  # it may be noise
    pace.heard(9.0)
    assert [pace.due(DENSE + 1 + k) for k in range(LOOKS + 1)] == [True] * LOOKS + [False]
    for level in (10.0**k for k in range(2, 12)):
        for _ in range(3):
            pace.heard(level)
    assert pace.surprises == SURPRISES
