import numpy as np
import pytest

from graphkit.datasets.store.reading.values import single


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "g"])
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_in_single_precision(dtype, wrong):
    """Half precision turns the largest single number into infinity, which infinity equals."""
    values = np.ones(3, dtype)
    assert single(values)
    values[1] = wrong
    assert not single(values)


def test_what_overflows_single_precision():
    assert single(np.array([3.4e38, -3.4e38]))
    assert not single(np.array([0, 1e39]))
    assert single(np.array([2**63 - 1]))
    assert single(np.array([True, False]))
