import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from graphkit.datasets import DamagedDataError
from graphkit.datasets.store.integrity import check_counts, check_files, check_json, check_rows


def write(path):
    """One file of each format, large enough to be cut."""
    values = np.arange(400.0).reshape(100, 4)
    if path.suffix == ".npz":
        np.savez(path, values=values)
    elif path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".json":
        path.write_text(json.dumps(values.tolist()))
    elif path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            file.write("1,2\n" * 5000)
    elif path.suffix == ".txt":
        path.write_text("1,2\n" * 500)
    else:
        path.write_bytes(pickle.dumps({0: [1, 2], 1: [0] * 500}, protocol=2))


FORMATS = ["a.npz", "a.npy", "a.json", "a.csv.gz", "a.txt", "ind.cora.graph"]


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_pass_and_cut_or_empty_ones_are_named(tmp_path, name):
    path = tmp_path / name
    write(path)
    check_files([path])
    content = path.read_bytes()
    for part in (content[: len(content) // 2 + 1], b""):
        path.write_bytes(part)
        with pytest.raises(DamagedDataError) as caught:
            check_files([path])
        assert str(path) in str(caught.value)


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    write(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedDataError, match=r"a\.npz"):
        check_files([path])


def test_a_pickle_that_calls_something_is_refused_and_not_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'harm')!r}, 'w')",))

    path = tmp_path / "ind.cora.graph"
    path.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(DamagedDataError, match=r"would call '__builtin__\.exec'"):
        check_files([path])
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(("value", "entries"), [([7, 8, 9], 3), ({"a": 1, "b": [2]}, 2), (5, 1)])
def test_json_counts_as_many_entries_as_it_has(tmp_path, value, entries):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert check_json(path) == entries


def test_counts_that_differ_are_named(tmp_path):
    check_counts("A", tmp_path, {"nodes": 3, "edges": 4}, {"nodes": 3})
    with pytest.raises(DamagedDataError, match=r"3 nodes \(published: 1,000\)"):
        check_counts("A", tmp_path, {"nodes": 3}, {"nodes": 1000})


def test_files_with_a_row_per_node_have_as_many():
    lengths = {Path("raw/ind.cora.x"): 3, Path("raw/ind.cora.y"): 3, Path("raw/other"): 9}
    check_rows(lengths, "Cora")
    check_rows({}, "Cora")
    check_rows({Path("raw/other"): 9}, "Cora")
    lengths[Path("raw/ind.cora.y")] = 1002
    with pytest.raises(
        DamagedDataError, match=r"'raw/ind\.cora\.x' has 3 rows, but 'ind\.cora\.y' has 1,002"
    ):
        check_rows(lengths, "Cora")
