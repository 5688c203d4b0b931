import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import PatchReorder, PatchReorderCNN


def recursive(x, n, levels):
    """One image ``[C, H, W]``, block by block."""
    if levels == 0:
        return x
    h, w = x.size(1) // n, x.size(2) // n
    blocks = [x[:, i * h : (i + 1) * h, j * w : (j + 1) * w] for i in range(n) for j in range(n)]
    blocks.sort(key=lambda block: -float(block.square().sum()))
    blocks = [recursive(block, n, levels - 1) for block in blocks]
    return torch.cat([torch.cat(blocks[i * n : (i + 1) * n], 2) for i in range(n)], 1)


@pytest.mark.parametrize(("n", "levels"), [(2, 1), (2, 2), (3, 1), (2, 3), (1, 2), (2, 0)])
def test_blocks_are_sorted_at_every_level(n, levels):
    x = torch.randn(3, 2, 24, 48)
    out = PatchReorder(n, levels)(x)
    assert torch.equal(out, torch.stack([recursive(image, n, levels) for image in x]))
    assert torch.equal(PatchReorder(n, levels)(out), out)
    assert torch.equal(out.flatten(1).sort(1).values, x.flatten(1).sort(1).values)


def test_the_order_of_the_blocks_does_not_matter():
    x = torch.randn(1, 3, 8, 8)
    blocks = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(1, 3, 4, 4, 4)[:, :, torch.randperm(4)]
    moved = blocks.view(1, 3, 2, 2, 4, 4).transpose(3, 4).reshape(1, 3, 8, 8)
    assert torch.equal(PatchReorder(2, 2)(moved), PatchReorder(2, 2)(x))


def test_ties_keep_their_places_and_the_remainder_stays():
    assert torch.equal(PatchReorder(2, 1)(torch.ones(2, 3, 7, 7)), torch.ones(2, 3, 7, 7))
    x = torch.arange(49.0).view(1, 1, 7, 7)
    out, order = PatchReorder(2, 1)(x, return_order=True)
    assert torch.equal(out[..., 6:, :], x[..., 6:, :])
    assert torch.equal(out[..., 6], x[..., 6])
    assert torch.equal(out[..., :3, :3], x[..., 3:6, 3:6])
    assert order.flatten().tolist() == [3, 2, 1, 0]
    _, order = PatchReorder(2, 2)(torch.zeros(1, 1, 8, 8), return_order=True)
    assert order.flatten().tolist() == list(range(16))


def test_the_released_default_has_an_order_per_channel():
    ramp = torch.arange(16.0).view(4, 4)
    x = torch.stack([ramp, ramp.flip(0, 1)])[None]
    own = PatchReorder(consistent=False)(x)[0]
    assert torch.equal(own[0, :2, :2], ramp[2:, 2:])
    assert torch.equal(own[1, :2, :2], x[0, 1, :2, :2])
    both = PatchReorder()(x[:, :, :, :] * torch.tensor([2.0, 1.0]).view(1, 2, 1, 1))[0]
    assert torch.equal(both[1, :2, :2], x[0, 1, 2:, 2:])


def test_the_norms_can_differ():
    x = torch.zeros(1, 1, 2, 4)
    x[..., 0, :2], x[..., 0, 2] = 2.0, 3.0
    assert torch.equal(PatchReorder(norm="l1")(x), x)
    assert PatchReorder(norm="l2")(x)[0, 0, 0].tolist() == [3, 0, 2, 2]


def test_gradients_follow_the_blocks_back():
    x = torch.randn(2, 2, 5, 4, dtype=torch.double, requires_grad=True)
    layer = PatchReorder(2, 1)
    assert torch.autograd.gradcheck(layer, (x,))
    upstream = torch.randn_like(x)
    (grad,) = torch.autograd.grad(layer(x), x, upstream)
    number = torch.arange(20.0, dtype=torch.double).view(5, 4).expand(2, 2, 5, 4).clone()
    _, order = layer(x, return_order=True)
    source = layer.blocks(number).gather(2, order.flatten(2).unsqueeze(3).expand(2, 2, 4, 4))
    place = layer.blocks(number)
    for image in range(2):
        back, up = upstream[image, 0].clone().flatten(), upstream[image, 0].flatten()
        back[source[image, 0].flatten().long()] = up[place[image, 0].flatten().long()]
        assert torch.equal(grad[image, 0].flatten(), back)


def test_compiles_in_one_graph():
    torch._dynamo.reset()
    x = torch.randn(2, 3, 8, 9)
    layer = PatchReorder(2, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="blocks"):
        PatchReorder(2, 3)(torch.rand(1, 1, 7, 8))
    with pytest.raises(ValueError, match="'x'"):
        PatchReorder()(torch.rand(3, 4, 4))
    with pytest.raises(ValueError, match="norm"):
        PatchReorder(norm="max")
    with pytest.raises(ValueError, match="levels"):
        PatchReorder(levels=-1)
    with pytest.raises(ValueError, match="size"):
        PatchReorderCNN(1, 2, 7)


def test_the_network_reorders_behind_its_convolutions():
    model = PatchReorderCNN(1, 4, 8, reorder=PatchReorder())
    plain = PatchReorderCNN(1, 4, 8)
    plain.load_state_dict(model.state_dict())
    x = torch.rand(5, 1, 8, 8)
    maps = model.features(x)
    assert torch.equal(maps, plain.features(x))
    hidden = F.relu(model.lin1(model.reorder(maps).flatten(1)))
    assert torch.equal(model(x), model.lin2(hidden))
    assert not torch.equal(model(x), plain(x))


def test_half_energies_do_not_overflow():
    x = torch.tensor([[300.0, 400.0], [500.0, 600.0]])[None, None]
    assert PatchReorder()(x.half())[0, 0].tolist() == [[600, 500], [400, 300]]
