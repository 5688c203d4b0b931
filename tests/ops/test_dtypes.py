import torch

from graphkit.ops.dtypes import wide_dtype, widened


def test_low_precision_is_summed_in_single_and_others_as_they_are():
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    wanted = [torch.float32, torch.float32, torch.float32, torch.float64]
    assert [wide_dtype(kind) for kind in kinds] == wanted
    assert [widened(torch.ones(1, dtype=kind)).dtype for kind in kinds] == wanted
    x = torch.ones(1)
    assert widened(x) is x
