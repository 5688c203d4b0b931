import math

import numpy as np
import pytest

from graphkit.ops.cpu.kernels import exponential
from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def exponentials(values, first, last):
    exponential.exp_range(values, first, last)


@kernel
def each_exponential(values, out):
    for i in range(values.shape[0]):
        out[i] = exponential.exp(values[i])


def test_single_precision_is_within_five_units():
    x = np.concatenate([np.linspace(-87, 88, 4001), np.linspace(-1, 1, 2001)]).astype(np.float32)
    found = np.empty_like(x)
    each_exponential(x, found)
    wanted = np.exp(x.astype(np.float64))
    units = np.abs(found - wanted) / np.spacing(wanted.astype(np.float32))
    assert units.max() <= 5
    assert found[x == 0] == pytest.approx(1, abs=0)


def test_double_precision_is_that_of_the_library():
    x = np.linspace(-700, 700, 101)
    found = np.empty_like(x)
    each_exponential(x, found)
    np.testing.assert_allclose(found, np.exp(x), rtol=1e-15)


def test_ends_of_single_precision():
    after = np.nextafter(np.float32(88), np.float32(99))
    before = np.nextafter(np.float32(-87), np.float32(-99))
    x = np.array([-np.inf, -1e30, before, -87, 88, after, np.inf, np.nan], np.float32)
    found = np.empty_like(x)
    each_exponential(x, found)
    assert found[:3].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found[3:5], np.exp(x[3:5].astype(np.float64)), rtol=3e-7)
    assert found[5:7].tolist() == [np.inf, np.inf]
    assert np.isnan(found[7])


def test_only_the_range_is_replaced():
    for kind in (np.float32, np.float64):
        values = np.array([1, -1, -2, -3, 4], kind)
        exponentials(values, 1, 4)
        wanted = [1, math.exp(-1), math.exp(-2), math.exp(-3), 4]
        np.testing.assert_allclose(values, wanted, rtol=3e-7)


def test_plain_python_has_it_too():
    assert exponential.exp(-2.0) == math.exp(-2.0)
