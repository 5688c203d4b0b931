import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from graphkit.metrics import Evaluator


def test_accuracy_of_arxiv():
    y_true = torch.tensor([[3], [1], [2], [2]])
    y_pred = torch.tensor([[3], [0], [2], [2]])
    assert Evaluator("ogbn-arxiv").eval({"y_true": y_true, "y_pred": y_pred}) == {"acc": 0.75}


def test_accuracy_is_averaged_over_tasks_and_leaves_unlabelled_rows_out():
    y_true = np.array([[1.0, np.nan], [0.0, 1.0], [1.0, np.nan]])
    y_pred = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    result = Evaluator("acc", num_tasks=2).eval({"y_true": y_true, "y_pred": y_pred})
    assert result["acc"] == pytest.approx((2 / 3 + 1.0) / 2)


def test_rocauc_skips_tasks_with_one_class():
    y_true = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, np.nan], [0.0, 1.0]])
    y_pred = np.random.default_rng(0).normal(size=(4, 2))
    result = Evaluator("rocauc", num_tasks=2).eval({"y_true": y_true, "y_pred": y_pred})
    assert result["rocauc"] == pytest.approx(roc_auc_score(y_true[:, 0], y_pred[:, 0]))


def test_f1_of_ppi_is_micro_f1():
    generator = np.random.default_rng(1)
    y_true, y_pred = generator.integers(0, 2, size=(2, 30, 121))
    result = Evaluator("PPI").eval({"y_true": y_true, "y_pred": y_pred})
    assert result["f1"] == pytest.approx(f1_score(y_true, y_pred, average="micro"))


def test_formats_name_keys_shape_and_metric():
    evaluator = Evaluator("ogbn-proteins")
    assert "(n, 112)" in evaluator.expected_input_format
    assert "rocauc" in evaluator.expected_output_format


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"y_true": np.zeros((2, 1))}, "'y_pred' is missing"),
        ({"y_true": np.zeros(2), "y_pred": np.zeros(2)}, r"'y_true' is \(2,\)"),
        ({"y_true": np.zeros((2, 1)), "y_pred": np.zeros((3, 1))}, "'y_pred' is"),
        ({"y_true": np.zeros((0, 1)), "y_pred": np.zeros((0, 1))}, r"'y_true' is \(0, 1\)"),
        ({"y_true": np.zeros((2, 1)), "y_pred": np.full((2, 1), np.nan)}, "'y_pred' holds NaN"),
        ({"y_true": np.full((2, 1), np.nan), "y_pred": np.zeros((2, 1))}, "no label"),
    ],
)
def test_wrong_inputs_are_named(inputs, message):
    with pytest.raises(ValueError, match=message):
        Evaluator("ogbn-arxiv").eval(inputs)


def test_rocauc_without_both_classes_is_refused():
    ones = np.ones((3, 1))
    with pytest.raises(ValueError, match="both classes"):
        Evaluator("rocauc").eval({"y_true": ones, "y_pred": ones})


def test_wrong_constructions_are_named():
    with pytest.raises(ValueError, match="'name' must be one of"):
        Evaluator("ogbn-nothing")
    with pytest.raises(ValueError, match="'num_tasks'"):
        Evaluator("acc", num_tasks=0)


def test_bfloat16_predictions() -> None:
    y_true, y_pred = torch.tensor([[0], [1], [1]]), torch.tensor([[0.1], [0.5], [0.9]])
    scores = Evaluator("rocauc").eval({"y_true": y_true, "y_pred": y_pred.bfloat16()})
    assert scores == {"rocauc": 1.0}
