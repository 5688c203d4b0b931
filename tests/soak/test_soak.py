"""How the soak judges the curve of memory."""

import pytest

from tests.soak.traces import drift


def test_drift_is_that_of_the_last_quarter():
    assert drift([100.0] * 40) == 0
    assert drift([1.0, 50, 90, 99, 100, 100, 100, 100]) == pytest.approx(0)
    assert drift([*[100.0] * 6, 110.0, 110.0]) == pytest.approx(0.1)
    assert drift([100.0]) == 0
