import numpy as np
import pytest
import torch
from PIL import Image

from graphkit.datasets import (
    DamagedDataError,
    MissingDataError,
    digits_reid,
    market1501,
    omniglot_reid,
)
from tests.datasets.media.test_images import write_omniglot


@pytest.mark.usefixtures("cache")
def test_characters_are_identities_and_drawers_cameras(root):
    write_omniglot(root)
    images = omniglot_reid(size=7)
    # Both archives hold the same alphabets, so the second adds nothing.
    assert images.identity.bincount().tolist() == [3, 3, 3]
    assert images.domain.tolist() == [0] * 3 + [1] * 6
    assert images.camera[:3].tolist() == [0, 1, 2]
    assert images.camera[3:].tolist() == [3, 4, 5] * 2
    latin = omniglot_reid(["Latin"], size=7)
    assert torch.equal(latin.x, images.x[3:])
    with pytest.raises(ValueError, match=r"'alphabets'.*Greek"):
        omniglot_reid(["Klingon"])
    with pytest.raises(ValueError, match="'alphabets'"):
        omniglot_reid([])


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_omniglot_has_eight_alphabets_each_drawn_by_twenty():
    images = omniglot_reid(size=14)
    assert images.domain.unique().tolist() == list(range(8))
    assert images.identity.unique(return_counts=True)[1].tolist() == [20] * (136 + 106)
    pairs = torch.stack([images.identity, images.camera], 1)
    assert len(pairs.unique(dim=0)) == len(images)
    for domain in range(8):
        assert len(images.camera[images.domain == domain].unique()) == 20
    assert len(images.camera.unique()) == 160


def test_digits_of_two_domains():
    first, again, second = digits_reid(0, 10), digits_reid(0, 10), digits_reid(1, 10)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, second.x)
    assert first.x.shape == (120, 1, 12, 12)
    assert first.identity.bincount().tolist() == [12] * 10
    assert first.camera.bincount().tolist() == [30] * 4
    assert second.domain.unique().tolist() == [1]
    other = digits_reid(0, 10, seed=1)
    assert not torch.equal(first.x, other.x)


def test_the_nearest_image_of_a_camera_shows_the_same_identity():
    images = digits_reid(0, 20, views=4, cameras=1)
    distance = torch.cdist(images.x.flatten(1), images.x.flatten(1)).fill_diagonal_(torch.inf)
    same = images.identity[distance.argmin(1)] == images.identity
    chance = 3 / 79
    assert 5 * chance < same.float().mean() < 1


def test_parts_share_no_identity():
    images = digits_reid(0, 10)
    first, second = images.split(0.6)
    assert len(first.identity.unique()) == 6
    assert not torch.isin(first.identity, second.identity).any()
    assert len(first) + len(second) == len(images)
    with pytest.raises(ValueError, match="'share'"):
        images.split(1.0)


@pytest.mark.parametrize(
    "arguments", [{"domain": 2}, {"identities": 0}, {"identities": 801}, {"views": 0}]
)
def test_digits_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="'domain' must be 0 or 1"):
        digits_reid(**arguments)


def write_market(root, names, part="bounding_box_test"):
    folder = root / "Market-1501-v15.09.15" / part
    folder.mkdir(parents=True)
    for shade, name in enumerate(names):
        pixels = np.full((128, 64, 3), 10 * shade, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.mark.usefixtures("cache")
def test_market_is_read_from_its_published_names(root):
    write_market(
        root, ["-1_c1s1_000401_03.jpg", "0000_c2s1_000451_00.jpg", "0002_c6s1_000451_03.jpg"]
    )
    images = market1501("gallery", size=(32, 16))
    assert images.x.shape == (3, 3, 32, 16)
    assert images.identity.tolist() == [-1, 0, 2]
    assert images.camera.tolist() == [0, 1, 5]
    assert torch.allclose(images.x[2].mean(), torch.tensor(20 / 255), atol=2 / 255)


@pytest.mark.usefixtures("cache")
def test_market_that_is_missing_or_damaged_is_named(root):
    with pytest.raises(MissingDataError, match=r"bounding_box_train.*How to get it: ask for"):
        market1501()
    with pytest.raises(ValueError, match="'part'"):
        market1501("val")
    folder = write_market(root, [], "query")
    with pytest.raises(DamagedDataError, match=r"no \.jpg"):
        market1501("query")
    (folder / "person.jpg").write_bytes(b"")
    with pytest.raises(DamagedDataError, match=r"person\.jpg"):
        market1501("query")
    (folder / "person.jpg").rename(folder / "0002_c0s1_000451_03.jpg")
    with pytest.raises(DamagedDataError, match="0002_c0s1"):  # Cameras are counted from 1.
        market1501("query")
    for size in (8, (0, 4), (8, 4, 3), (8.0, 4)):
        with pytest.raises(ValueError, match="'size'"):
            market1501("query", size=size)
    (folder / "0002_c0s1_000451_03.jpg").rename(folder / "0002_c1s1_000451_03.jpg")
    with pytest.raises(DamagedDataError, match="cannot read"):
        market1501("query")
