import pytest
import torch

from graphkit.metrics import (
    distinct_share,
    hits_at_k,
    mean_class_recall,
    novelty,
    perplexity,
    relation_hits,
)
from tests.spoiled import spoiled


def test_hits_by_sorting():
    scores, target = torch.randn(30, 7), torch.randint(7, (30,))
    for k in (1, 3, 7):
        ranks = [
            sorted(row, reverse=True).index(row[t])
            for row, t in zip(scores.tolist(), target.tolist(), strict=True)
        ]
        assert hits_at_k(scores, target, k).tolist() == [rank < k for rank in ranks]


def test_mean_class_recall_counts_rare_classes_as_much():
    target = torch.tensor([0] * 98 + [5, 5])
    hits = torch.tensor([True] * 98 + [False, True])
    assert mean_class_recall(hits, target) == pytest.approx(0.75)


def test_perplexity_closed_form():
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log() + 3
    assert perplexity(logits, torch.tensor([1])) == pytest.approx(5.0)


def test_relation_hits_by_listing_every_guess():
    sizes, predicates = [3, 0, 1, 4], 5
    batch = torch.arange(4).repeat_interleave(torch.tensor(sizes))
    scores = torch.randn(8, 2, predicates)
    links = torch.tensor([[0, 2, 3, 5, 7], [1, 0, 0, 1, 1], [4, 0, 2, 3, 1]])
    for k in (1, 4, 100):
        expected = []
        for i, d, p in links.t().tolist():
            rows = [j for j in range(8) if batch[j] == batch[i]]
            values = [scores[j, e, q] for j in rows for e in range(2) for q in range(predicates)]
            expected.append(sum(float(v) > float(scores[i, d, p]) for v in values) < k)
        assert relation_hits(scores, links, batch, 4, k).tolist() == expected


def test_no_relations_and_no_objects():
    none = torch.zeros(3, 0, dtype=torch.long)
    found = relation_hits(torch.zeros(0, 2, 4), none, torch.zeros(0, dtype=torch.long), 2, 5)
    assert found.shape == (0,)


def test_diversity_by_sets():
    rows = torch.randint(3, (50, 3))
    assert distinct_share(rows) == len({tuple(row) for row in rows.tolist()}) / 50
    known = torch.randint(3, (10, 3))
    seen = {tuple(row) for row in known.tolist()}
    expected = sum(tuple(row) not in seen for row in rows.tolist()) / 50
    assert novelty(rows, known) == pytest.approx(expected)
    assert novelty(rows, known[:0]) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hits_at_k(torch.zeros(2, 3), torch.zeros(3).long(), 1), "'scores' must have"),
        (lambda: hits_at_k(torch.zeros(2, 3), torch.zeros(2).long(), 4), "'k' must be between"),
        (lambda: hits_at_k(spoiled((1, 3)), torch.zeros(1).long(), 1), "NaN"),
        (lambda: perplexity(torch.zeros(0, 3), torch.zeros(0).long()), "'scores' must have"),
        (lambda: mean_class_recall(torch.ones(2).bool(), torch.zeros(3).long()), "same shape"),
        (lambda: distinct_share(torch.zeros(0, 3)), "holds nothing"),
        (lambda: novelty(torch.zeros(0, 3), torch.zeros(1, 3)), "holds nothing"),
        (
            lambda: relation_hits(torch.zeros(2, 3), torch.zeros(3, 0), torch.zeros(2), 1, 1),
            "'scores' must have shape",
        ),
        (
            lambda: relation_hits(
                torch.zeros(2, 2, 3), torch.zeros(2, 0), torch.zeros(2).long(), 1, 1
            ),
            "'links' must have shape",
        ),
        (
            lambda: relation_hits(
                torch.zeros(2, 2, 3), torch.zeros(3, 0), torch.zeros(2).long(), 1, 0
            ),
            "'k' must be positive",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_out_of_range_is_refused() -> None:
    scores, graphs = torch.rand(3, 2, 2), torch.zeros(3, dtype=torch.long)
    for link in ([0, 0, 2], [-1, 0, 0], [0, 2, 0]):
        with pytest.raises(ValueError, match="'links' must be from 0 to"):
            relation_hits(scores, torch.tensor(link).view(3, 1), graphs, 1, 12)
    with pytest.raises(ValueError, match="'target' must be from 0 to 3, got -1"):
        hits_at_k(torch.rand(3, 4), torch.tensor([-1, 3, 2]), 4)
    with pytest.raises(ValueError, match="'target' must be from 0 to 3, got -100"):
        perplexity(torch.zeros(3, 4), torch.tensor([-100, 1, 2]))
