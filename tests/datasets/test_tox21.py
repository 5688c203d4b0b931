import gzip
import sys
from dataclasses import replace

import pytest
import torch
from torch_geometric.data import Data

from graphkit.datasets import DamagedDataError, find_card, load, tox21

ASSAYS = (
    "NR-AR,NR-AR-LBD,NR-AhR,NR-Aromatase,NR-ER,NR-ER-LBD,NR-PPAR-gamma,"
    "SR-ARE,SR-ATAD5,SR-HSE,SR-MMP,SR-p53"
)
TABLE = f"""{ASSAYS},mol_id,smiles
0,0,1,,,0,0,1,0,0,0,0,TOX3021,CCO
0,0,0,0,0,0,0,,0,,0,0,TOX3020,bad
1,,,,,,,0,,0,,,TOX3024,"C[C@]1(O)CC,1"
"""


def write(root, table):
    (root / "tox21").mkdir()
    with gzip.open(root / "tox21" / "tox21.csv.gz", "wt") as file:
        file.write(table)


def chain(smiles):
    """Stands in for rdkit: one atom per letter C, nothing for what cannot be parsed."""
    atoms = smiles.count("C")
    step = torch.arange(max(atoms - 1, 0))
    bonds = torch.stack([step, step + 1])
    edge_attr = torch.zeros(bonds.size(1), 3, dtype=torch.long)
    x = torch.ones(atoms, 9, dtype=torch.long)
    return Data(x=x, edge_index=bonds, edge_attr=edge_attr, smiles=smiles)


@pytest.fixture
def small(monkeypatch):
    """The card without the published number of molecules, which a small table has not."""
    monkeypatch.setattr(tox21, "from_smiles", chain)
    return replace(find_card("tox21"), checked=False)


def test_molecules_and_labels_in_the_published_format(root, cache, small):
    write(root, TABLE)
    dataset = load(small)
    assert [data.smiles for data in dataset] == ["CCO", "C[C@]1(O)CC,1"]
    nan = torch.nan
    expected = torch.tensor([[0, 0, 1, nan, nan, 0, 0, 1, 0, 0, 0, 0]])
    assert torch.equal(dataset[0].y.nan_to_num(-1), expected.nan_to_num(-1))
    assert dataset[1].y[0, 0] == 1
    assert int(dataset[1].y.isnan().sum()) == 9


def test_another_number_of_molecules_is_refused(root, cache, monkeypatch):
    monkeypatch.setattr(tox21, "from_smiles", chain)
    write(root, TABLE)
    with pytest.raises(DamagedDataError, match=r"2 graphs .published: 8,006."):
        load("Tox21")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("mol_id,smiles", "smiles,mol_id"), "'mol_id' and 'smiles'"),
        (TABLE + "0,1\n", "expected 12 labels"),
        (TABLE.replace("1,,", "x,,"), "could not convert"),
    ],
)
def test_a_damaged_table_is_named(root, cache, small, table, message):
    write(root, table)
    with pytest.raises(DamagedDataError, match=message) as caught:
        load(small)
    assert str(root / "tox21" / "tox21.csv.gz") in str(caught.value)


def test_without_rdkit_the_error_says_what_to_install(root, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    write(root, TABLE)
    with pytest.raises(ImportError, match=r'pip install "graphkit\[molecules\]"'):
        load("Tox21")
