import numpy as np
import pytest

from graphkit.datasets import DamagedDataError, load
from tests.datasets.files import write_ppi


@pytest.mark.parametrize(
    ("split", "file"), [("train", "train"), ("val", "valid"), ("test", "test")]
)
def test_graphs_in_the_published_format(root, cache, split, file):
    written = write_ppi(root)[file]
    dataset = load("PPI", split=split)
    assert len(dataset) == 2
    assert (dataset.num_features, dataset.num_classes) == (50, 121)
    for number, data in enumerate(dataset):
        rows = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(data.x, written["feats"][rows].astype(np.float32))
        np.testing.assert_array_equal(data.y, written["labels"][rows])
        ring = {(i, (i + 1) % 4) for i in range(4)} | {((i + 1) % 4, i) for i in range(4)}
        assert set(map(tuple, data.edge_index.t().tolist())) == ring


def test_all_splits_are_processed_once(root, cache):
    write_ppi(root)
    for split in ("train", "val", "test"):
        load("PPI", split=split)
    assert len(list((cache / "processed" / "PPI").iterdir())) == 1


@pytest.mark.parametrize("file", ["valid_feats.npy", "test_graph.json", "train_labels.npy"])
def test_a_truncated_file_is_named(root, cache, file):
    write_ppi(root)
    path = root / "PPI" / "raw" / file
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedDataError, match=file):
        load("PPI")
