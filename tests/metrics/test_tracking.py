import sys
import warnings

import pytest
import torch

from graphkit.metrics import clear_mot, hota, hota_curves


def track(name, frames, row):
    frame = torch.tensor(frames)
    position = torch.stack([torch.full((len(frames),), row), frame.float()], 1)
    return frame, torch.full((len(frames),), name), position


def join(*tracks):
    return tuple(torch.cat(parts) for parts in zip(*tracks, strict=True))


TRUTH = join(track(1, range(10), 0.0), track(2, range(10), 9.0))


def test_errors_are_counted_by_kind():
    """One miss, two false positives, one switch: 1 - 4 / 20."""
    found = join(
        track(7, range(4), 0.5),
        track(8, range(4, 10), 0.5),
        track(9, range(1, 10), 9.0),
        track(5, range(2), 30.0),
    )
    scores = clear_mot(TRUTH, found, radius=2.0)
    assert scores == {
        "mota": pytest.approx(1 - 4 / 20),
        "idf1": pytest.approx(2 * 15 / (20 + 21)),
        "false_positives": 2,
        "misses": 1,
        "switches": 1,
        "objects": 20,
    }


def test_order_does_not_matter_and_nothing_found_is_zero():
    order = torch.randperm(20)
    shuffled = tuple(part[order] for part in TRUTH)
    assert clear_mot(TRUTH, shuffled, 1.0)["mota"] == 1
    none = tuple(part[:0] for part in TRUTH)
    assert clear_mot(TRUTH, none, 1.0)["misses"] == 20


def test_small_unsigned_positions_do_not_wrap():
    """250 and 5 are 245 apart, not 11."""
    frame, person = torch.arange(3), torch.zeros(3, dtype=torch.uint8)
    far = torch.tensor([[250, 0]] * 3, dtype=torch.uint8)
    near = torch.tensor([[5, 0]] * 3, dtype=torch.uint8)
    assert clear_mot((frame, person, far), (frame, person, near), 20.0)["misses"] == 3
    assert clear_mot((frame, person, far), (frame, person, near), 245.0)["misses"] == 0


@pytest.mark.parametrize("score", [clear_mot, hota])
def test_numbers_beyond_double_precision_are_told_apart(score):
    """Such as names that are hashes of 64 bits, and times in nanoseconds."""
    frame = torch.tensor([0, 0, 1, 1]) + 2**60
    box = torch.tensor([[0.0, 0, 4, 4], [10, 10, 4, 4]]).repeat(2, 1)
    small = torch.tensor([1, 2, 1, 2])
    for person, wanted in (([0, 1, 0, 1], [1, 2, 1, 2]), ([0, 1, 1, 0], [1, 2, 2, 1])):
        large = torch.tensor(person) + 2**53
        assert score((frame, small, box), (frame, large, box)) == score(
            (frame - 2**60, small, box), (frame - 2**60, torch.tensor(wanted), box)
        )


def test_boxes_match_by_overlap():
    frame, person = torch.arange(4), torch.zeros(4)
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(4, 1)
    moved = box + torch.tensor([[0.0], [1.0], [2.0], [9.0]]) * torch.tensor([1.0, 0, 0, 0])
    truth, found = (frame, person, box), (frame, person, moved)
    # Overlaps: 1, 9/11, 8/12, 1/19.
    assert clear_mot(truth, found)["misses"] == 1
    assert clear_mot(truth, found, overlap=0.8)["misses"] == 2
    flat = box * torch.tensor([1.0, 1, 0, 1])
    assert clear_mot(truth, (frame, person, flat))["misses"] == 4


FRAME, PERSON, PLACE = TRUTH


def changed(part, value):
    """The truth with one entry of a part put wrong."""
    parts = [each.double().clone() for each in TRUTH]
    parts[part][3] = value
    return tuple(parts)


@pytest.mark.parametrize("score", [clear_mot, hota, hota_curves])
@pytest.mark.parametrize("side", ["truth", "found"])
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ((FRAME, torch.full((20,), -1), PLACE), "identities of at least 0, got -1; -1 stands"),
        (changed(1, torch.nan), "whole identities of at least 0, got nan"),
        (changed(1, 0.5), "whole identities"),
        (changed(0, torch.nan), "whole frames of at least 0, got nan"),
        (changed(0, -1), "whole frames"),
        (changed(0, torch.inf), "whole frames"),
        (changed(2, torch.nan), "NaN, infinite or beyond"),
        (changed(2, 1e160), "NaN, infinite or beyond"),
        ((FRAME, PLACE), "frames, identities and places, got 2"),
        (changed(0, 2), "identity 1 twice in frame 2"),
        ((FRAME, PERSON[:, None], PLACE), r"identities \[N\]"),
        ((FRAME[:, None], PERSON, PLACE), r"frames \[N\]"),
        ((FRAME, PERSON, PLACE[:, :1]), r"positions \[N, 2\]"),
        ((FRAME, PERSON, PLACE.repeat(1, 2)), "boxes need radius=None"),
    ],
)
def test_wrong_tracks_are_named(score, side, wrong, word):
    sides = (wrong, TRUTH) if side == "truth" else (TRUTH, wrong)
    with pytest.raises(ValueError, match=f"'{side}'.*{word}"):
        score(*sides, radius=1.0)


def test_wrong_arguments_are_named():
    none = tuple(part[:0] for part in TRUTH)
    boxes = (FRAME, PERSON, PLACE.repeat(1, 2))
    for score in (clear_mot, hota):
        with pytest.raises(ValueError, match="'truth' holds no object"):
            score(none, TRUTH, 1.0)
        for radius in (-1.0, 0.0, torch.nan, torch.inf):
            with pytest.raises(ValueError, match="'radius'"):
                score(TRUTH, TRUTH, radius)
        with pytest.raises(ValueError, match=r"'found' has boxes.*negative sides"):
            score(boxes, (FRAME, PERSON, -boxes[2]))
    for overlap in (0.0, 1.5, torch.nan):
        with pytest.raises(ValueError, match="'overlap'"):
            clear_mot(boxes, boxes, overlap=overlap)


def test_without_motmetrics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    with pytest.raises(ImportError, match=r"graphkit\[tracking\]"):
        clear_mot(TRUTH, TRUTH, 1.0)


@pytest.mark.parametrize("kind", [FutureWarning, DeprecationWarning])
def test_what_motmetrics_warns_of_is_not_passed_on(monkeypatch, kind):
    motmetrics = pytest.importorskip("motmetrics")
    update = motmetrics.MOTAccumulator.update

    def warns(*args, **kwargs):
        warnings.warn("old", kind, stacklevel=2)
        return update(*args, **kwargs)

    monkeypatch.setattr(motmetrics.MOTAccumulator, "update", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clear_mot(TRUTH, TRUTH, 1.0)["mota"] == 1
