from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from graphkit.vision import AherLoss, AherNet, encode, segment_iou

TRUTH = [
    (torch.tensor([[0.1, 0.35], [0.5, 0.95]]), torch.tensor([0, 2])),
    (torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)),
]


def proposals(count=2):
    torch.manual_seed(0)
    return AherNet(6, base=3, target=1, channels=8, num_levels=3)(torch.rand(count, 6, 32), "base")


def by_loops(found, truth, positive, negative):
    """The four losses, one anchor after another."""
    probability = found.logits.softmax(-1)
    batch, anchors = found.centre.shape
    hits, error, where = {}, {}, {}
    for b in range(batch):
        segments, kinds = truth[b]
        for a in range(anchors):
            centre, width = found.centre[b, a], found.width[b, a]
            anchor = torch.stack([centre - width / 2, centre + width / 2])
            overlap = segment_iou(anchor[None], segments)[0] if len(segments) else None
            where[b, a] = overlap
            if overlap is not None and overlap.max() >= positive:
                hits[b, a] = int(overlap.argmax())
        for k in range(len(segments)):
            best = max(range(anchors), key=lambda a: float(where[b, a][k]))
            hits[b, best] = k
    fore = []
    for (b, a), overlap in where.items():
        background = probability[b, a, -1]
        if (b, a) in hits:
            fore.append(-(1 - background).log())
        elif overlap is None or overlap.max() < negative:
            error[b, a] = -background.log()
    count = max(len(hits), batch)
    fore += sorted(error.values(), reverse=True)[:count]
    kind, location, quality = [], [], []
    for (b, a), k in hits.items():
        segments, kinds = truth[b]
        kind.append(-(probability[b, a, kinds[k]] / (1 - probability[b, a, -1])).log())
        aim = encode(segments[k], found.centre[b, a], found.width[b, a])
        location.append(F.smooth_l1_loss(found.offsets[b, a], aim, reduction="sum"))
    for (b, a), overlap in where.items():
        if overlap is not None and overlap.max() > 0:
            quality.append((found.overlap[b, a].sigmoid() - overlap.max()).square())
    return [torch.stack(part).mean() for part in (fore, kind, location, quality)]


@pytest.mark.parametrize("positive", [0.5, 0.8])
def test_the_loss_is_that_of_loops(positive):
    found = proposals()
    fore, kind, location, quality = by_loops(found, TRUTH, positive, 0.3)
    loss = AherLoss(positive)(found, TRUTH)
    assert torch.allclose(loss, 2 * fore + 2 * kind + location + 25 * quality, atol=1e-4)
    parts = AherLoss(positive, foreground=0.0, kind=1.0, overlap=0.0)(found, TRUTH)
    assert torch.allclose(parts, kind + location, atol=1e-4)


def test_videos_without_action_give_a_finite_loss():
    found = proposals()
    loss = AherLoss()(found, [TRUTH[1], TRUTH[1]])
    worst = -found.logits[..., -1].flatten().sort().values[:2].mean()
    assert torch.allclose(loss, 2 * worst)


def test_background_overlaps_nothing():
    found = proposals()
    half = found.width[0] / 2
    anchors = torch.stack([found.centre[0] - half, found.centre[0] + half], 1)
    background = AherLoss().background(anchors, TRUTH)
    assert background[1].all()
    assert torch.equal(background[0], segment_iou(anchors, TRUTH[0][0]).amax(1) < 0.3)


def test_wrong_input_is_refused():
    found = proposals()
    with pytest.raises(ValueError, match="'truth' has 1 videos"):
        AherLoss()(found, TRUTH[:1])
    with pytest.raises(ValueError, match="'truth' must be from 0 to"):
        AherLoss()(found, [(TRUTH[0][0], torch.tensor([0, 4])), TRUTH[1]])
    with pytest.raises(ValueError, match="no length"):
        AherLoss()(found, [(torch.tensor([[0.2, 0.2]]), torch.tensor([0])), TRUTH[1]])
    with pytest.raises(ValueError, match="negative"):
        AherLoss(positive=0.2, negative=0.3)


def test_an_anchor_just_at_the_bound_is_no_background():
    """Overlaps of 1, exactly 1/2 and none; the background is below the bound."""
    found = proposals(1)
    centre, width = torch.tensor([[0.25, 0.125, 0.75]]), torch.tensor([[0.5, 0.25, 0.5]])
    logits = torch.zeros(1, 3, found.logits.size(2))
    logits[0, :, -1] = torch.tensor([0.0, -5.0, 2.0])
    logits = logits.log_softmax(-1)
    zeros = torch.zeros(1, 3)
    small = replace(
        found,
        centre=centre,
        width=width,
        logits=logits,
        offsets=torch.zeros(1, 3, 2),
        overlap=zeros,
    )
    truth = [(torch.tensor([[0.0, 0.5]]), torch.tensor([0]))]
    for negative, hard in ((0.4, 2), (0.5, 2), (0.6, 1)):
        loss = AherLoss(0.9, negative, kind=0.0, overlap=0.0)(small, truth)
        probability = logits[0].exp()
        fore = -(1 - probability[0, -1]).log()
        back = -probability[hard, -1].log()
        assert torch.allclose(loss, fore + back, atol=1e-5), negative
