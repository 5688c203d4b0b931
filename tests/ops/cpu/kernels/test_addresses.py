import numpy as np

from graphkit.ops.cpu.kernels.addresses import array_at
from graphkit.ops.cpu.kernels.compiling import kernel


@kernel
def doubled(address, size, like):
    values = array_at(address, size, like)
    for i in range(values.shape[0]):
        values[i] *= 2
    return values.shape[0]


def test_memory_is_that_of_the_address():
    for kind in (np.float64, np.int32):
        values = np.arange(1, 6).astype(kind)
        address = values.ctypes.data + values.itemsize
        assert doubled(address, 3, kind(0)) == 3
        assert values.tolist() == [1, 4, 6, 8, 5]
        assert doubled(address, 0, kind(0)) == 0
