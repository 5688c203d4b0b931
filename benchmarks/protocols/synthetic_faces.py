"""Reading action units off images of faces without labels, where the truth is known.

A face of 17 bones is drawn in two worlds: by the engine, and as "photos" with landmarks out of
place, thicker lines, light, blur and noise. An Imitator learns the engine; then a network learns
to read the parameters off photos through it. Arms, with the same first weights and batches:
``feature``, no label of any kind, is the method (``au_icc``); ``loopback`` adds the loopback
loss, ``adversarial`` the judge; ``supervised`` learns from drawings with their parameters and sees
no photo; ``both`` is supervised on drawings, with feature and loopback losses on photos.

``au_icc…`` is the mean ICC(3,1) over action units on test photos, ``au_mae…`` the mean absolute
error, ``mae_ratio`` that of the method over that of the mean of all drawings, ``identity_mae…`` the
error of the five traits, ``imitator_l1`` the imitator's on drawings it has not seen.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.faces import cartoon, photos
from graphkit.metrics import intraclass_correlation
from graphkit.modes import evaluating
from graphkit.train import Opponent, TensorTask, seed_everything
from graphkit.vision import FaceBones, FaceRegressor, Imitator, LocalContrast

MAIN = "au_icc"
ARMS: dict[str, dict[str, float]] = {
    "feature": {"feature": 1.0},
    "loopback": {"feature": 1.0, "loopback": 1.0},
    "adversarial": {"feature": 1.0, "adversarial": 0.02},
    "supervised": {},
    "both": {"feature": 1.0, "loopback": 1.0},
}
SUPERVISED = 4.0


@dataclasses.dataclass
class Faces:
    """The face, its drawings, photos, and test photos with the truth."""

    face: FaceBones
    told: Tensor
    drawings: Tensor
    photos: Tensor
    test: Tensor
    truth: Tensor


@torch.no_grad()
def load(
    name: str = "strokes", drawings: int = 4000, photos_: int = 2000, test: int = 500, seed: int = 0
) -> Faces:
    """Faces of one seed; parameters of drawings, photos and test photos are drawn apart."""
    if name != "strokes":
        raise ValueError(f"faces are 'strokes', got {name!r}")
    generator = torch.Generator().manual_seed(seed)
    face = cartoon()
    told, seen, truth = (face.draw(n, generator) for n in (drawings, photos_, test))
    images = torch.cat([face.render(part) for part in told.split(16)])
    shown, judged = (
        torch.cat([photos(face, part, generator) for part in all_.split(16)])
        for all_ in (seen, truth)
    )
    return Faces(face, told, images, shown, judged, truth)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    imitator: dict[str, Any] | None = None,
    arms: tuple[str, ...] | list[str] = tuple(ARMS),
    batch_size: int = 64,
    width: int = 16,
) -> dict[str, float]:
    """One seed; ``imitator`` changes ``train`` for the imitator."""
    faces = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    renderer = Imitator(faces.face.num_parameters, 32, width)
    taught = dataclasses.replace(fit, train={**fit.train, **(imitator or {})})
    taught(
        renderer,
        TensorTask((faces.told, faces.drawings), lambda m, p, x: m.loss(p, x), batch_size),
        tag="imitator",
    )
    metrics = {"imitator_l1": imitated(renderer, faces.face, seed)}
    for arm in arms:
        found = judged(read(fit, renderer, faces, arm, seed, batch_size, width), faces)
        metrics |= {f"{name}_{arm}": value for name, value in found.items()}
    identities, actions, _ = faces.face.sizes
    columns = slice(identities, identities + actions)
    guess = faces.told.mean(0)
    metrics["au_mae_mean"] = float((faces.truth - guess)[:, columns].abs().mean())
    metrics["identity_mae_mean"] = float((faces.truth - guess)[:, :identities].abs().mean())
    metrics["au_icc"] = metrics["au_icc_feature"]
    metrics["mae_ratio"] = metrics["au_mae_feature"] / metrics["au_mae_mean"]
    return metrics


@torch.no_grad()
def imitated(renderer: Imitator, face: FaceBones, seed: int) -> float:
    """Mean absolute difference of imitator and engine on faces that neither has drawn."""
    told = face.draw(250, torch.Generator().manual_seed(1000 + seed))
    with evaluating(renderer):
        return float(renderer.loss(told, face.render(told)))


def encoder(parameters: int, width: int) -> nn.Module:
    """A small network from the contrasts of an image to numbers."""
    layers: list[nn.Module] = []
    for wide, wider in ((1, width), (width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(wide, wider, 3, 2, 1), nn.BatchNorm2d(wider), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(64 * width, 128), nn.ReLU(), nn.Linear(128, parameters)]
    return nn.Sequential(*layers)


class Reader(nn.Module):
    """An encoder behind the removal of light."""

    def __init__(self, parameters: int, width: int) -> None:
        super().__init__()
        self.contrast, self.encoder = LocalContrast(scales=1), encoder(parameters, width)

    def forward(self, x: Tensor) -> Tensor:
        side = x.size(-1)
        return self.encoder(side * self.contrast(x).view(-1, 1, side, side))


def read(
    fit: Fitter, renderer: Imitator, faces: Faces, arm: str, seed: int, batch_size: int, width: int
) -> FaceRegressor:
    """A regressor that one arm has trained."""
    seed_everything(seed)
    judge = encoder(1, width) if arm == "adversarial" else None
    model = FaceRegressor(
        Reader(faces.face.num_parameters, width),
        renderer,
        faces.face.bounds(),
        feature=LocalContrast(),
        judge=judge,
        weights=ARMS[arm],
    )
    # Drawings stand beside photos in each batch: the arms differ by their losses alone.
    count = len(faces.photos)
    told, drawings = faces.told[:count].detach(), faces.drawings[:count].detach()

    def loss(m: FaceRegressor, x: Tensor, p: Tensor, drawing: Tensor) -> Tensor:
        labelled = arm in ("supervised", "both")
        whole = SUPERVISED * m.supervised(drawing, p) if labelled else x.new_zeros(())
        return whole + m.loss(x) if ARMS[arm] else whole

    callbacks = []
    if judge is not None:
        optimizer = torch.optim.Adam(judge.parameters(), lr=1e-4, betas=(0.5, 0.999))
        generator = torch.Generator().manual_seed(seed)

        def accuse(_: Any) -> Tensor:
            rows = torch.randint(count, (2, batch_size), generator=generator)
            return model.judging(faces.photos[rows[0]], told[rows[1]])

        callbacks.append(Opponent(optimizer, accuse))
    fit(model, TensorTask((faces.photos, told, drawings), loss, batch_size), callbacks, tag=arm)
    return model


@torch.no_grad()
def judged(model: FaceRegressor, faces: Faces) -> dict[str, float]:
    """Agreement with the truth on test photos."""
    with evaluating(model):
        guess = model(faces.test)
    identities, actions, _ = faces.face.sizes
    columns = slice(identities, identities + actions)
    pairs = torch.stack([guess[:, columns].t(), faces.truth[:, columns].t()], 2)
    error = (guess - faces.truth).abs()
    return {
        "au_icc": float(intraclass_correlation(pairs).mean()),
        "au_mae": float(error[:, columns].mean()),
        "identity_mae": float(error[:, :identities].mean()),
    }
