"""Anchors of a pyramid, and matching against loops."""

import pytest
import torch

from graphkit.vision import Anchors, pyramid_anchors, segment_iou
from graphkit.vision.actions.anchors import hard_negatives, match_anchors, pad_actions


def test_the_released_network_has_765_anchors():
    anchors = pyramid_anchors([128, 64, 32, 16, 8, 4, 2, 1])
    assert isinstance(anchors, Anchors)
    assert len(anchors.centre) == 765
    assert anchors.level.bincount().tolist() == [384, 192, 96, 48, 24, 12, 6, 3]
    # Cells of the finest level are 4 of 512 frames; their first centre is 2.
    assert 512 * anchors.centre[0] == 2
    assert 512 * anchors.width[0] == 4
    ratio = (anchors.width[:3] / anchors.width[0]).tolist()
    assert ratio == pytest.approx([1, 1.26, 1.587], abs=1e-3)


def test_anchors_lie_about_their_cells():
    anchors = pyramid_anchors([4, 2], (1.0, 2.0))
    for centre, width, level, cell in zip(*anchors, strict=True):
        cells = (4, 2)[level]
        assert centre == (cell + 0.5) / cells
        assert width * cells in (1.0, 2.0)
    middle = anchors.segments().mean(1)
    assert torch.allclose(middle, anchors.centre)


def test_matches_with_and_without_the_nearest():
    anchors = torch.tensor([[0.0, 1.0], [0.0, 2.0], [5.0, 6.0], [8.0, 9.0]])
    actions = torch.tensor([[[0.0, 1.9], [5.0, 9.0]]])
    overlap = segment_iou(anchors.unsqueeze(0), actions)
    hit, best, which = match_anchors(overlap, 0.8)
    assert hit[0].tolist() == [False, True, True, False]
    assert which[0, :3].tolist() == [0, 0, 1]
    assert best[0].tolist() == pytest.approx([1 / 1.9, 0.95, 0.25, 0.25])
    assert match_anchors(overlap, 0.8, nearest=False)[0][0].tolist() == [False, True, False, False]


def test_actions_are_padded_by_background():
    none = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    some = torch.tensor([[0.1, 0.2], [0.3, 0.5]]), torch.tensor([1, 0])
    segments, classes = pad_actions([some, none], torch.zeros(1), 7)
    assert classes.tolist() == [[1, 0, 7], [7, 7, 7]]
    assert segments[1].abs().max() == segments[0, 2].abs().max() == 0


@pytest.mark.parametrize(
    ("segments", "classes", "message"),
    [
        (torch.tensor([[0.5, 0.5]]), torch.tensor([0]), "no length in video 0"),
        (torch.tensor([[0.5, float("nan")]]), torch.tensor([0]), "no length"),
        (torch.rand(2, 2), torch.tensor([0]), "segments"),
        (torch.rand(2, 3), torch.tensor([0, 1]), "segments"),
    ],
)
def test_wrong_actions_are_refused(segments, classes, message):
    with pytest.raises(ValueError, match=message):
        pad_actions([(segments, classes)], torch.zeros(1), 2)


def test_the_worst_candidates_are_the_hard_ones():
    error = torch.tensor([[5.0, 1.0, 3.0], [4.0, 9.0, 2.0]])
    candidates = torch.tensor([[False, True, True], [True, False, True]])
    assert hard_negatives(error, candidates, 2).nonzero().tolist() == [[0, 2], [1, 0]]
    assert hard_negatives(error, candidates, 99).sum() == 4
    assert not hard_negatives(error, candidates & False, 3).any()


def test_an_endless_action_is_refused():
    with pytest.raises(ValueError, match="'truth' holds NaN or infinite"):
        pad_actions([(torch.tensor([[0.2, torch.inf]]), torch.tensor([0]))], torch.zeros(1), 2)
    assert pad_actions([(torch.zeros(0, 2), torch.zeros(0))], torch.zeros(1), 2)[1].tolist() == [
        [2]
    ]
