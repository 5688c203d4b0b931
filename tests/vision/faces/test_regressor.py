"""FaceRegressor: each loss by hand, and who gets gradients."""

import pytest
import torch
from torch import nn

from graphkit.modes import modes_kept
from graphkit.vision import FaceBones, FaceRegressor, Imitator, LocalContrast

BOUNDS = torch.tensor([-1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 2.0])


def model(**options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    return FaceRegressor(network, Imitator(3, 8, 2), BOUNDS, **options)


def images(count=6):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_parameters_lie_within_their_bounds():
    found = model()(100 * images() - 50)
    low, high = BOUNDS
    assert ((found >= low) & (found <= high)).all()
    assert found[:, 2].max() > 1


def test_each_loss_is_what_it_says():
    embedding, judge = (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
    )
    weights = dict.fromkeys(("feature", "identity", "person", "loopback", "adversarial"), 1.0)
    contrast = LocalContrast(1)
    face = model(feature=contrast, embedding=embedding, judge=judge, identities=2, weights=weights)
    x, person = images(), torch.tensor([7, 7, 7, -1, -1, 3])
    found = face.terms(x, person)
    face.eval()
    p = face(x)
    drawn = face.renderer(p)
    low, high = BOUNDS
    scaled = (p - low) / (high - low)
    expected = {
        "feature": (contrast(drawn) - contrast(x)).square().sum(1).mean(),
        "identity": 1 - torch.cosine_similarity(embedding(drawn), embedding(x)).mean(),
        "loopback": ((face(drawn) - p) / (high - low)).square().mean(),
        "adversarial": -judge(drawn).sigmoid().log().mean(),
        "person": sum(
            (scaled[person == k, :2] - scaled[person == k, :2].mean(0)).square().sum()
            for k in (7, -1, 3)
        )
        / 12,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-5), name
    face.weights = {"feature": 2.0, "loopback": 3.0}
    assert torch.allclose(face.loss(x), 2 * expected["feature"] + 3 * expected["loopback"])


def test_only_the_network_learns_and_batch_norms_stay_as_they_are():
    embedding, judge = (nn.Sequential(nn.Flatten(), nn.Linear(64, n)) for n in (4, 1))
    weights = {"feature": 1.0, "identity": 1.0, "loopback": 1.0, "adversarial": 1.0}
    face = model(embedding=embedding, judge=judge, weights=weights).train()
    before = {name: value.clone() for name, value in face.renderer.state_dict().items()}
    face.loss(images()).backward()
    graded = {name.split(".")[0] for name, p in face.named_parameters() if p.grad is not None}
    assert graded == {"network"}
    assert face.renderer.training
    assert all(torch.equal(before[k], v) for k, v in face.renderer.state_dict().items())
    face.zero_grad()
    face.judging(images(), torch.rand(6, 3)).backward()
    graded = {name.split(".")[0] for name, p in face.named_parameters() if p.grad is not None}
    assert graded == {"judge"}


def test_the_target_of_the_loopback_is_constant():
    """Its gradient is that of the first side alone."""
    face = model(weights={"loopback": 1.0})
    x = images()
    face.loss(x).backward()
    weight = face.network[1].weight
    found = weight.grad.clone()
    face.zero_grad()
    with modes_kept(face):
        face.eval()
        p = face(x)
        ((face.scaled(face(face.renderer(p))) - face.scaled(p).detach()).square().mean()).backward()
    assert torch.allclose(found, weight.grad, atol=1e-6)


def test_the_loopback_is_nothing_where_the_network_inverts_the_renderer():
    """A linear renderer that places parameters in a picture, and a network that reads them."""
    low, high = torch.zeros(3), torch.ones(3)

    class Place(nn.Module):
        def forward(self, p):
            return (p / (1 - p)).log()

    face = FaceRegressor(nn.Identity(), Place(), (low, high), weights={"loopback": 1.0})
    assert face.loss(torch.randn(4, 3)) < 1e-10


def test_landmarks_are_read_without_labels():
    """Through the bones themselves; the truth is met although no label is seen."""
    torch.manual_seed(0)
    face = FaceBones.standard((), ("mouth_open", "eyes_closed"), ("yaw",))
    truth = face.draw(256, torch.Generator().manual_seed(0))
    points = face(truth).detach()
    network = nn.Sequential(nn.Flatten(), nn.Linear(136, 32), nn.ReLU(), nn.Linear(32, 3))
    reader = FaceRegressor(network, face, face.bounds())
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        reader.loss(points).backward()
        optimizer.step()
    both = torch.stack([reader(points)[:, 0], truth[:, 0]])
    assert torch.corrcoef(both)[0, 1] > 0.9


def test_known_parameters_in_units_of_their_bounds():
    face = model()
    x, p = images(), torch.rand(6, 3)
    expected = ((face(x) - p) / (BOUNDS[1] - BOUNDS[0])).square().mean()
    assert torch.allclose(face.supervised(x, p), expected)


def test_light_leaves_contrasts_alone_and_flat_images_have_none():
    contrast = LocalContrast(2, 5, 1e-8)
    x = torch.rand(3, 1, 16, 16)
    assert torch.allclose(contrast(x), contrast(3 * x - 1), atol=1e-3)
    assert contrast(torch.full((1, 1, 8, 8), 0.3)).abs().max() < 1e-2
    with pytest.raises(ValueError, match="window"):
        LocalContrast(window=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"pixels": 1.0}}, "pixels"),
        ({"weights": {"identity": 1.0}}, "embedding"),
        ({"weights": {"adversarial": 1.0}}, "judge"),
        ({"weights": {"person": 1.0}}, "identities"),
        ({"identities": 4}, "identities"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


def test_wrong_input_is_refused():
    face = model(identities=1, weights={"person": 1.0})
    for value in (float("nan"), float("inf"), 0.3):
        x = images()
        x[[2, 5]] = value
        with pytest.raises(ValueError, match=r"no face in frame 2: .*2 of 6 frames"):
            face.loss(x, torch.zeros(6))
    assert face(images(0)).shape == (0, 3)
    with pytest.raises(ValueError, match="one number per image"):
        face.loss(images())
    with pytest.raises(ValueError, match="no 'judge'"):
        face.judging(images(), torch.rand(6, 3))
    with pytest.raises(ValueError, match="'network' must give"):
        FaceRegressor(nn.Flatten(), Imitator(3, 8, 2), BOUNDS)(images())
    with pytest.raises(ValueError, match="renderer"):
        FaceRegressor(face.network, Imitator(3, 16, 2), BOUNDS).loss(images())
    with pytest.raises(ValueError, match="bounds"):
        FaceRegressor(face.network, Imitator(3, 8, 2), (BOUNDS[1], BOUNDS[0]))


@pytest.mark.parametrize("name", ["network", "renderer", "feature", "embedding", "judge"])
def test_a_class_is_no_network(name):
    given = {"network": nn.Linear(2, 3), "renderer": Imitator(3, 8, 2), "bounds": BOUNDS}
    with pytest.raises(TypeError, match=f"'{name}' is the class Linear"):
        FaceRegressor(**{**given, name: nn.Linear})
