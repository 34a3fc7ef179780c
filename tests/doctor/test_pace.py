"""How often the doctor looks: densely at first, then within its budget, and where a loss jumps."""

from didact.doctor.pace import DENSE, LOOKS, SURPRISES, Pace


def test_a_loss_that_jumps_is_looked_into_a_few_times() -> None:
    pace = Pace(0.0)
    assert not pace.due(DENSE)
    for _ in range(50):
        pace.heard(1.0)
    pace.heard(9.0)
    pace.heard(9.0)
    assert not pace.due(DENSE)  # it may be noise
    pace.heard(9.0)
    assert [pace.due(DENSE + k) for k in range(LOOKS + 1)] == [True] * LOOKS + [False]
    for level in (10.0**k for k in range(2, 12)):
        for _ in range(3):
            pace.heard(level)
    assert pace.surprises == SURPRISES
