"""The sum over joints: dense product, messages and a loop."""

import torch
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from graphkit.nn.skeletons.joint_mixing import JointMixing
from graphkit.testing import assert_close


def loop(x, adjacency):
    out = torch.zeros_like(x)
    for source in range(x.size(2)):
        for target in range(x.size(2)):
            out[:, :, target] += adjacency[..., source, target, None] * x[:, :, source]
    return out


def test_all_ways_give_the_same_sum():
    support = torch.rand(5, 5) < 0.6
    for size in ((4, 5, 5), (3, 4, 5, 5)):
        adjacency = (torch.randn(size) * support).double().requires_grad_()
        x = torch.randn(3, 4, 5, 6, dtype=torch.double, requires_grad=True)
        expected, weight = loop(x, adjacency), torch.randn(3, 4, 5, 6).double()
        for dense in (True, False):
            mixing = JointMixing(support)
            mixing.dense = dense
            out = mixing(x, adjacency)
            assert_close(out, expected, "sums")
            assert_close(mixing(x, adjacency, total=True), expected.sum(1), "totals")
            grads = [
                torch.autograd.grad((y * weight).sum(), (x, adjacency), retain_graph=True)
                for y in (out, expected)
            ]
            assert_close(grads[0][0], grads[1][0], "gradients of the features")
            assert_close(grads[0][1] * support, grads[1][1] * support, "gradients of the weights")


def test_explainers_mask_messages():
    mixing = JointMixing(torch.ones(3, 3, dtype=torch.bool))
    x, adjacency = torch.rand(2, 4, 3, 5), torch.rand(4, 3, 3)
    mask = torch.nn.Parameter((mixing.edge_index[0] != 1).float())
    set_masks(mixing, mask, mixing.edge_index, apply_sigmoid=False)
    heard = mixing(x, adjacency)
    clear_masks(mixing)
    silenced = adjacency.clone()
    silenced[:, 1] = 0
    assert_close(heard, mixing(x, silenced), "sums without one joint")
    assert not torch.allclose(heard, mixing(x, adjacency))


def test_hooks_and_own_messages_are_heard():
    class Twice(JointMixing):
        def message(self, x_j, weight):
            return 2 * super().message(x_j, weight)

    support = torch.ones(3, 3, dtype=torch.bool)
    x, adjacency = torch.rand(2, 4, 3, 5), torch.rand(4, 3, 3)
    mixing = JointMixing(support)
    expected = 2 * mixing(x, adjacency)
    assert_close(Twice(support)(x, adjacency), expected, "sums by a message of its own")
    handle = mixing.register_message_forward_hook(lambda *args: 2 * args[-1])
    assert_close(mixing(x, adjacency), expected, "sums with a hook that doubles messages")
    handle.remove()
    assert_close(2 * mixing(x, adjacency), expected, "sums after the hook")
