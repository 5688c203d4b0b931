import pytest
import torch

from graphkit.metrics import temporal_map

REAL = [
    (torch.tensor([[0.0, 4.0], [6.0, 9.0]]), torch.tensor([0, 1])),
    (torch.tensor([[1.0, 2.0]]), torch.tensor([0])),
]


def detections(*rows):
    table = torch.tensor(rows, dtype=torch.float).reshape(-1, 4)
    return table[:, :2], table[:, 2].long(), table[:, 3]


PERFECT = [detections((0, 4, 0, 0.9), (6, 9, 1, 0.8)), detections((1, 2, 0, 0.3))]


def test_perfect_detections_reach_one():
    assert temporal_map(PERFECT, REAL, [0.3, 0.5, 1.0]) == {0.3: 1.0, 0.5: 1.0, 1.0: 1.0}


def test_a_second_detection_of_the_same_action_is_wrong():
    twice = [detections((0, 4, 0, 0.9), (0, 4, 0, 0.85), (6, 9, 1, 0.8)), PERFECT[1]]
    assert temporal_map(twice, REAL, [0.5])[0.5] == pytest.approx((1 + (1 / 2 + 2 / 3 / 2)) / 2)


def test_a_video_confused_with_another_is_wrong():
    assert temporal_map(PERFECT[::-1], REAL, [0.5])[0.5] == 0


def test_precision_is_the_best_behind():
    """Wrong, right: the area under the envelope is 1/2 for the one action found of two."""
    found = [detections((20, 24, 0, 0.9), (0, 4, 0, 0.8)), detections()]
    assert temporal_map(found, [REAL[0], (REAL[1][0], REAL[1][1])], [0.5])[0.5] == pytest.approx(
        (0.5 * 0.5 + 0.0) / 2
    )


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="found"):
        temporal_map(PERFECT[:1], REAL, [0.5])
    with pytest.raises(ValueError, match="truth"):
        temporal_map([], [], [0.5])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.bfloat16])
def test_times_of_any_type_are_compared_in_double_precision(dtype):
    """Small unsigned differences wrap, whole numbers have no fractions, and the lengths of two
    films together are infinite in half precision."""
    action, score = torch.tensor([0]), torch.tensor([0.5])
    longest = 250 if dtype == torch.uint8 else 60_000
    for begin, end, right in ((0, 4, 0.0), (10, longest, 1.0)):
        found = torch.tensor([[begin, end]]).to(dtype), action, score.to(dtype)
        truth = torch.tensor([[10, longest]]).to(dtype), action
        assert temporal_map([found], [truth], [0.5]) == {0.5: right}
        assert temporal_map([[part.tolist() for part in found]], [truth], [0.5]) == {0.5: right}


def test_a_part_less_is_named():
    with pytest.raises(ValueError, match=r"'found\[1\]' must hold segments, actions and scores"):
        temporal_map([PERFECT[0], PERFECT[1][:2]], REAL, [0.5])


def test_scores_of_one_column_are_refused():
    """Sorting [N, 1] along its last axis takes the first detection N times."""
    segments, actions, scores = PERFECT[0]
    with pytest.raises(ValueError, match=r"'found\[0\]' must hold segments"):
        temporal_map([(segments, actions, scores[:, None]), PERFECT[1]], REAL, [0.5])
    with pytest.raises(ValueError, match=r"'truth\[1\]' must hold segments"):
        temporal_map(PERFECT, [REAL[0], (REAL[1][0][0], REAL[1][1])], [0.5])


def test_numbers_that_are_none_are_refused():
    segments, actions, scores = PERFECT[0]
    wrong = scores.clone()
    wrong[0] = float("nan")
    with pytest.raises(ValueError, match=r"'found\[0\]' holds NaN"):
        temporal_map([(segments, actions, wrong), PERFECT[1]], REAL, [0.5])
    with pytest.raises(ValueError, match=r"'found\[0\]' has a segment that ends before"):
        temporal_map([(segments.flip(1), actions, scores), PERFECT[1]], REAL, [0.5])
    with pytest.raises(ValueError, match=r"'truth\[0\]' holds NaN"):
        temporal_map(PERFECT, [(REAL[0][0] * float("inf"), REAL[0][1]), REAL[1]], [0.5])


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5, float("nan")])
def test_thresholds_that_mean_nothing_are_refused(threshold):
    """At 0 a detection would take an action of its video that it does not touch."""
    with pytest.raises(ValueError, match=f"'thresholds'.*{threshold}"):
        temporal_map(PERFECT, REAL, [0.5, threshold])
