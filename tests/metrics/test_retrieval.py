import itertools

import pytest
import torch
from sklearn.metrics import average_precision_score

from graphkit.metrics import retrieval, retrieval_scores
from tests.spoiled import spoiled


def problem(seed=0, queries=15, size=40):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high, count: torch.randint(high, (count,), generator=generator)  # noqa: E731
    distance = torch.rand(queries, size, generator=generator)
    return distance, draw(5, queries), draw(5, size), draw(3, queries), draw(3, size)


def looped(distance, query, gallery, cameras=None, others=None):
    """Query by query, with scikit-learn's average precision."""
    precisions, firsts = [], []
    for i, who in enumerate(query.tolist()):
        rows = gallery != -1
        if cameras is not None:
            rows &= ~((gallery == who) & (others == cameras[i]))
        hit = (gallery[rows] == who).numpy()
        if hit.any():
            precisions.append(average_precision_score(hit, -distance[i][rows].numpy()))
            order = distance[i][rows].argsort()
            firsts.append(int(torch.from_numpy(hit)[order].int().argmax()))
    firsts = torch.tensor(firsts)
    cmc = torch.stack([(firsts < k).float().mean() for k in range(1, 11)])
    return sum(precisions) / len(precisions), cmc, len(precisions)


@pytest.mark.parametrize("cameras", [True, False])
def test_scores_are_those_of_a_loop(cameras):
    distance, query, gallery, first, second = problem()
    gallery[::7] = -1
    arguments = (distance, query, gallery, *((first, second) if cameras else ()))
    scores, (mean, cmc, count) = retrieval_scores(*arguments), looped(*arguments)
    assert scores.map == pytest.approx(mean)
    assert torch.allclose(scores.cmc, cmc)
    assert scores.queries == count


def test_blocks_of_queries_change_nothing(monkeypatch):
    arguments = problem()
    whole = retrieval_scores(*arguments)
    monkeypatch.setattr(retrieval, "CHUNK", 100)
    parts = retrieval_scores(*arguments)
    assert parts.map == pytest.approx(whole.map)
    assert torch.allclose(parts.cmc, whole.cmc)


def test_ties_count_as_the_average_over_their_orders():
    distance = torch.tensor([0.5, 1.0, 1.0, 1.0, 1.0, 2.0])
    hit = torch.tensor([0, 0, 1, 0, 1, 1])
    scores = retrieval_scores(distance[None], torch.tensor([1]), hit)
    cmc = torch.zeros(6)
    orders = list(itertools.permutations(range(1, 5)))
    for order in orders:
        first = next(i for i, j in enumerate([0, *order, 5]) if hit[j])
        cmc += (torch.arange(6) >= first).float() / len(orders)
    assert torch.allclose(scores.cmc, cmc, atol=1e-6)
    assert scores.map == pytest.approx(average_precision_score(hit.numpy(), -distance.numpy()))


def test_the_same_embedding_for_all_is_as_good_as_chance():
    gallery = torch.arange(4).repeat_interleave(5)
    scores = retrieval_scores(torch.zeros(4, 20), torch.arange(4), gallery)
    assert scores.map == pytest.approx(0.25)
    assert scores.cmc[0].item() == pytest.approx(0.25)
    # Without a match among the first three of twenty.
    none = 15 * 14 * 13 / (20 * 19 * 18)
    assert scores.cmc[2].item() == pytest.approx(1 - none)


def test_the_own_camera_does_not_count():
    distance = torch.tensor([[0.0, 1.0, 2.0]])
    arguments = torch.tensor([3]), torch.tensor([3, 8, 3])
    assert retrieval_scores(distance, *arguments).cmc[0] == 1
    cameras = torch.tensor([0]), torch.tensor([0, 0, 1])
    scores = retrieval_scores(distance, *arguments, *cameras)
    assert scores.cmc[:2].tolist() == [0.0, 1.0]
    assert scores.map == pytest.approx(0.5)


def test_what_has_no_answer_is_refused_by_name():
    distance, query, gallery, first, second = problem()
    for message, arguments in (
        ("with queries and a gallery", (distance[:0], query[:0], gallery)),
        ("with queries and a gallery", (distance[:, :0], query, gallery[:0])),
        ("'gallery' has shape", (distance, query, gallery[:3])),
        ("go together", (distance, query, gallery, first)),
        ("NaN", (spoiled(distance), query, gallery)),
        ("with one camera", (distance, query, gallery, first * 0, second * 0)),
        ("no query has a match", (distance, query + 10, gallery)),
        ("'max_rank'", (distance, query, gallery, None, None, 0)),
    ):
        with pytest.raises(ValueError, match=message):
            retrieval_scores(*arguments)
