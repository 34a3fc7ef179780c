"""What the tests of readers share."""

from collections.abc import Callable

import pytest

from didact.data.open import open_data
from didact.errors import DataError


@pytest.fixture
def refused() -> Callable[..., DataError]:
    """A data set is refused, in one line that holds all of these parts."""

    def refused(path, *parts, **options):
        with pytest.raises(DataError) as caught:
            open_data(path, **options)
        assert "\n" not in str(caught.value)
        for part in parts:
            assert part in str(caught.value)
        return caught.value

    return refused
