import pytest
import torch

from benchmarks.problems.tracking import kept_merges
from benchmarks.protocols import tracking
from benchmarks.rivals import tracking as baselines

TRUTH_FRAME = torch.arange(9).repeat(2)
TRUTH_NAME = torch.arange(2).repeat_interleave(9)


def lanes():
    time = torch.arange(9.0)
    one = torch.stack([torch.full_like(time, 8.0), 4 + time], 1)
    two = torch.stack([torch.full_like(time, 10.0), 12 - time], 1)
    return TRUTH_FRAME, TRUTH_NAME, torch.cat([one, two])


def test_peaks_are_local_maxima():
    density = torch.zeros(2, 6, 6)
    density[0, 2, 2], density[0, 2, 3], density[1, 5, 0] = 0.5, 0.4, 0.01
    frame, position = baselines.find_peaks(density, 0.02)
    assert frame.tolist() == [0]
    assert position.tolist() == [[2, 2]]


def test_links_are_the_shortest_and_end_at_gaps():
    frame = torch.tensor([0, 0, 1, 1, 3])
    position = torch.tensor([[0.0, 0.0], [0.0, 4.0], [0.0, 4.5], [0.0, 0.5], [0.0, 0.5]])
    assert baselines.link_peaks(frame, position, 2.0)[1].tolist() == [0, 1, 1, 0, 2]
    assert baselines.link_peaks(frame, position, 0.1)[1].unique().numel() == 5


def test_sort_bridges_a_gap_by_its_forecast():
    frame = torch.tensor([0, 1, 2, 3, 6, 7])
    position = torch.stack([torch.zeros(6), 1.5 * frame], 1)
    found = baselines.sort_like(frame, position, radius=2.0)
    assert found[1].unique().numel() == 1
    assert len(found[0]) == 6
    assert baselines.sort_like(frame, position, radius=2.0, max_age=1)[1].unique().numel() == 2


def test_nothing_is_tracked_in_nothing():
    none = torch.zeros(0, dtype=torch.long), torch.zeros(0, 2)
    assert len(baselines.link_peaks(*none, 1.0)[1]) == len(baselines.sort_like(*none, 1.0)[1]) == 0


def test_encounters_are_counted_and_judged():
    truth = lanes()
    assert kept_merges(truth, truth, 3.0, 1.0) == (1.0, 1.0)
    swapped = torch.where(TRUTH_FRAME > 4, 1 - TRUTH_NAME, TRUTH_NAME)
    assert kept_merges(truth, (truth[0], swapped, truth[2]), 3.0, 1.0) == (0.0, 1.0)
    none = tuple(part[:0] for part in truth)
    assert kept_merges(truth, none, 3.0, 1.0) == (0.0, 1.0)
    assert kept_merges(truth, truth, 0.5, 1.0) == (0.0, 0.0)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize("maps", ["groundtruth", "detections"])
def test_counting_beats_linked_peaks_on_real_people(maps):
    found = tracking.run({"name": "TUD-Campus", "frames": 12, "maps": maps}, seed=0, plain=False)
    assert found["objects_tbc"] == 69
    assert found["gap_tbc"] <= 0.01
    assert found["gain_over_peaks"] >= (0.15 if maps == "groundtruth" else 0.0)
