"""AherNet: transferred weights, anchors, and what its proposals mean."""

import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import AherNet, decode, pyramid_anchors
from graphkit.vision.actions.ahernet import WeightTransfer
from tests.spoiled import spoiled


def network(**options):
    torch.manual_seed(0)
    return AherNet(6, base=3, target=2, channels=8, num_levels=3, **options)


def test_at_first_weights_are_transferred_by_two_elus():
    model = network()
    for level, (weight, bias) in enumerate(model.localizers("target")):
        layer = model.classify_target[level]
        assert torch.equal(weight, F.elu(F.elu(layer.weight)))
        assert torch.equal(bias, F.elu(F.elu(layer.bias)))
        positive = layer.weight > 0
        assert torch.equal(weight[positive], layer.weight[positive])
        assert (weight[~positive] > layer.weight[~positive]).all()


def test_weights_are_transferred_by_two_layers():
    transfer = WeightTransfer(4)
    torch.nn.init.normal_(transfer.weight[0].weight)
    torch.nn.init.normal_(transfer.bias[1].weight)
    weight, bias = torch.randn(3, 4), torch.randn(3)
    first = F.elu(weight @ transfer.weight[0].weight.t())
    found = transfer(weight, bias)
    assert torch.allclose(found[0], F.elu(first))
    assert torch.allclose(found[1], F.elu(F.elu(bias) * transfer.bias[1].weight[0, 0]))
    transfer.reset_parameters()
    assert torch.equal(transfer(weight.abs(), bias.abs())[0], weight.abs())


def test_proposals_are_those_of_a_loop_over_cells():
    model, x = network(), torch.rand(2, 6, 32)
    found = model(x, "base")
    maps, row = model.pyramid(x), 0
    for level, h in enumerate(maps):
        weight, bias = model.localizers("base")[level]
        heads = model.heads[level](h)
        for cell in range(h.size(2)):
            kind = (h[:, :, cell] @ weight.t() + bias).softmax(1)
            for ratio in range(3):
                out = heads[:, 5 * ratio : 5 * ratio + 5, cell]
                fore = out[:, :2].softmax(1)
                probability = torch.cat([kind * fore[:, :1], fore[:, 1:]], 1)
                assert torch.allclose(found.logits[:, row].softmax(1), probability, atol=1e-5)
                assert torch.allclose(found.offsets[:, row], out[:, 2:4])
                assert torch.allclose(found.overlap[:, row], out[:, 4])
                assert torch.equal(found.feature[:, row], h[:, :, cell])
                row += 1
    anchors = pyramid_anchors([8, 4, 2])
    assert row == found.centre.size(1) == len(anchors.centre)
    assert torch.equal(found.centre[1], anchors.centre)
    assert torch.equal(found.level, anchors.level)


def test_moments_are_classified_by_their_mean():
    model, x = network(), torch.rand(2, 6, 16)
    for kind, layers in (("base", model.classify_base), ("target", model.classify_target)):
        expected = [layer(h.mean(2)) for layer, h in zip(layers, model.pyramid(x), strict=True)]
        assert torch.equal(model.classify(x, kind), torch.stack(expected))


def test_target_classes_reach_localisation_through_the_transfer_alone():
    model, x = network(), torch.rand(1, 6, 32)
    before = model(x).logits
    base = model(x, "base").logits
    with torch.no_grad():
        for layer in model.classify_target:
            layer.weight.add_(1.0)
    assert not torch.allclose(model(x).logits, before)
    assert torch.equal(model(x, "base").logits, base)
    with torch.no_grad():
        for layer in model.transfer:
            layer.weight[1].weight.zero_()
            layer.bias[1].weight.zero_()
    # Without a way for their weights all classes are alike.
    probability = model(x).logits[..., :-1].softmax(-1)
    assert torch.allclose(probability, torch.full_like(probability, 0.5))


def test_without_transfer_weights_are_those_of_the_classifier():
    model = network(transfer=False)
    weight, bias = model.localizers("target")[1]
    assert weight is model.classify_target[1].weight
    assert bias is model.classify_target[1].bias


def test_detections_are_decoded_and_scored():
    model, x = network(), torch.rand(2, 6, 32)
    found = model(x)
    segments, actions, scores = model.detect(x, threshold=1.0, keep=500)[1]
    assert len(segments) == 2 * found.centre.size(1)
    decoded = decode(found.offsets, found.centre, found.width)[1]
    best = found.scores()[1].amax()
    assert torch.isclose(scores.max(), best)
    row, kind = divmod(int(found.scores()[1].argmax()), 2)
    place = scores.argmax()
    assert torch.allclose(segments[place], decoded[row])
    assert actions[place] == kind


def test_one_class_per_video_as_in_the_released_program():
    model, x = network(), torch.rand(1, 6, 32)
    found = model(x)
    kind = found.logits[..., :-1].softmax(-1).mean(1)
    fore = 1 - found.logits.softmax(-1)[..., -1]
    expected = kind.unsqueeze(1) * (found.overlap.sigmoid() * fore).unsqueeze(-1)
    _, actions, scores = model.detect(x, threshold=1.0, keep=500, per_video=True)[0]
    for one in (0, 1):
        ours = scores[actions == one].sort().values
        assert torch.allclose(ours, expected[0, :, one].sort().values, atol=1e-6)


def test_one_class_is_enough():
    model = AherNet(4, base=1, target=1, channels=4, num_levels=2)
    assert model(torch.rand(1, 4, 16)).logits.shape == (1, 18, 2)


@pytest.mark.parametrize("name", ["in_channels", "base", "target", "channels", "num_levels"])
def test_sizes_must_be_positive(name):
    with pytest.raises(ValueError, match=name):
        AherNet(**{"in_channels": 4, "base": 1, "target": 1, name: 0})


def test_wrong_input_is_refused():
    model = network()
    for shape in ((2, 6, 24), (2, 5, 32), (6, 32), (2, 6, 0)):
        with pytest.raises(ValueError, match="multiple of 16"):
            model(torch.rand(*shape))
    with pytest.raises(ValueError, match="NaN"):
        model(spoiled((1, 6, 16)))
    with pytest.raises(ValueError, match="'base' or 'target'"):
        model(torch.rand(1, 6, 16), "both")
    with pytest.raises(ValueError, match="ratios"):
        network(ratios=())
