"""Files that would run code, in the cache and in place of every raw file."""

import gzip
import io
import re
from pickle import dump

import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError, dataset_cards, load
from tests.datasets.files import TINY, write_tu


def test_nothing_in_the_cache_is_run(root, cache):
    """Every file that is read back, one after another, is one that would run code."""
    harm = cache / "harm"

    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(harm)!r}, 'w')",))

    write_tu(root)
    load(TINY)
    paths = [path for path in (cache / "processed").rglob("*") if path.is_file()]
    assert len(paths) == 3
    for path in paths:
        content = path.read_bytes()
        for write in (lambda file: torch.save(Harm(), file), lambda file: dump(Harm(), file)):
            with path.open("wb") as file:
                write(file)
            with pytest.raises(DamagedDataError, match="Delete that folder"):
                load(TINY)
            assert not harm.exists()
        path.write_bytes(content)
    assert len(load(TINY)) == 3


def test_a_hole_in_the_cache_is_noticed(root, cache):
    write_tu(root)
    load(TINY)
    (path,) = (cache / "processed").rglob("data.pt")
    content = path.read_bytes()
    place = content.index(
        torch.arange(1).numpy().tobytes() + torch.ones(1).long().numpy().tobytes()
    )
    path.write_bytes(content[:place] + bytes([9]) + content[place + 1 :])
    with pytest.raises(DamagedDataError, match="Delete that folder"):
        load(TINY)


def payloads(harm):
    """Files of several formats that run code in the hands of a trusting reader."""

    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(harm)!r}, 'w')",))

    forms = [io.BytesIO() for _ in range(4)]
    dump([Harm()], forms[0], 2)
    torch.save([Harm()], forms[1])
    np.savez(forms[2], **dict.fromkeys(ARRAYS, np.array([Harm()], dtype=object)))
    np.save(forms[3], np.array([Harm()], dtype=object))
    return [form.getvalue() for form in forms]


ARRAYS = ("x_train", "labels", "attr_data", "joints", "X_train", "feature", "data")


@pytest.mark.parametrize("card", [c for c in dataset_cards() if c.files], ids=lambda c: c.name)
def test_nothing_in_the_raw_files_of_any_set_is_run(root, cache, tmp_path, card):
    for content in payloads(tmp_path / "harm"):
        for name in card.files:
            path = root / card.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        with pytest.raises(DamagedDataError, match=re.escape(str(root))):
            load(card, download=False)
        assert not (tmp_path / "harm").exists()
