"""Every check of the layer suite must catch a fault that was planted for it."""

from graphkit.testing import LayerSuite
from tests.testing import layers_unlike_functions, layers_unlike_pyg

FAULTS = layers_unlike_pyg.FAULTS
assert layers_unlike_functions.FAULTS is FAULTS


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(LayerSuite) == {"cuda"}
