"""Every check of the layer suite must catch a fault that was planted for it."""

import pickle

import pytest

from graphkit.testing import LayerSuite
from tests.testing.faulty_layers import FAULTS, suite_of

FAILURE = (
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.PicklingError,
)


@pytest.mark.parametrize(
    ("kind", "check"), FAULTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_fault_is_caught(kind, check):
    with pytest.raises(FAILURE):
        suite_of(kind).check(check)()


def test_every_check_has_a_fault():
    unproven = set(LayerSuite.checks()) - {check for _, check in FAULTS}
    assert unproven == {"cuda"}
