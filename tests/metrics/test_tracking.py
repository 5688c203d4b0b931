import sys

import pytest
import torch

from graphkit.metrics import clear_mot


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


def test_wrong_arguments_are_named():
    none = tuple(part[:0] for part in TRUTH)
    with pytest.raises(ValueError, match="truth"):
        clear_mot(none, TRUTH, 1.0)
    with pytest.raises(ValueError, match="found"):
        clear_mot(TRUTH, (TRUTH[0], TRUTH[1], TRUTH[2][:, :1]), 1.0)
    with pytest.raises(ValueError, match=r"'truth' must hold frames \[N\]"):
        clear_mot((TRUTH[0][:, None], *TRUTH[1:]), TRUTH, 1.0)


def test_without_motmetrics_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    with pytest.raises(ImportError, match=r"graphkit\[tracking\]"):
        clear_mot(TRUTH, TRUTH, 1.0)
