"""Videos of actions with the pixels of real digits, on made-up timelines or on THUMOS14's.

A frame of action number ``a`` shows the handwritten digits of ``a``, other images in each frame;
a frame of background shows digits with their pixels shuffled, mixed with the action next to it
where that is asked for. Actions fade in and out, and all frames are noisy. Training and test
frames use disjoint images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.datasets import ActionVideo, thumos14
from graphkit.datasets.media.thumos14 import ACTIONS

__all__ = ["Clips", "clips", "in_context", "moments"]

FADE = 3
SHORTEST, LONGEST = 6, 56
Timeline = tuple[Tensor, Tensor]


@dataclass
class Clips:
    """Windows of videos.

    Args:
        x (torch.Tensor): Pixels of the frames, 64 per digit shown, ``[B, F, T]``.
        truth (list): For each, actions' segments as shares of the window, and their numbers.
        classes (int): Number of actions.
    """

    x: Tensor
    truth: list[Timeline]
    classes: int


def clips(
    name: str,
    split: str,
    count: int,
    frames: int,
    fps: float,
    noise: float,
    generator: torch.Generator,
    actions: Sequence[int] | None = None,
) -> Clips:
    """Videos of a split.

    Args:
        name (str): ``"digits"``, made-up timelines with an action for each digit, or
            ``"THUMOS14"``, its timelines and actions.
        split (str): ``"val"`` or ``"test"``.
        count (int): Number of videos.
        frames (int): Frames of a video.
        fps (float): Frames per second; made-up timelines have no seconds.
        noise (float): Deviation of the noise.
        generator (torch.Generator): For times, images and noise.
        actions (sequence of int, optional): The only ones; they are numbered in this order.
            (default: all)

    Raises:
        ValueError: If there are no such timelines.
    """
    timeline: Callable[[torch.Generator], Timeline]
    every = range(known_actions(name)) if actions is None else actions
    if name == "digits":
        timeline, places = partial(runs, frames, torch.tensor(list(every))), 1
    else:
        videos = [only(video, every) for video in thumos14(split)]
        timeline = partial(window, [v for v in videos if len(v.action)], frames / fps)
        places = 2
    number = torch.full((known_actions(name),), -1)
    number[list(every)] = torch.arange(len(every))
    pixels, labels = digit_images(split)
    x: list[Any] = []
    truth: list[Any] = []
    for _ in range(count):
        segments, action = timeline(generator)
        x.append(draw(segments * frames, action, frames, places, pixels, labels, generator))
        truth.append((segments, number[action]))
    noisy = torch.stack(x)
    noisy += noise * torch.randn(noisy.shape, generator=generator)
    return Clips(noisy, truth, len(every))


def moments(
    name: str,
    split: str,
    count: int,
    frames: int,
    noise: float,
    generator: torch.Generator,
    actions: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Trimmed moments of some actions, stretched to a length ``[N, F, frames]``, and which."""
    places = 1 if name == "digits" else 2
    if not all(0 <= action < known_actions(name) for action in actions):
        raise ValueError(f"'actions' must be of {known_actions(name)}, got {list(actions)}")
    pixels, labels = digit_images(split)
    chosen = torch.randint(len(actions), (count,), generator=generator)
    x = []
    for kind in chosen.tolist():
        stretch = (LONGEST / SHORTEST) ** float(torch.rand(1, generator=generator))
        length = round(SHORTEST * stretch)
        shown = [
            pixels[drawn((labels == actions[kind] // 10**place % 10), length, generator)]
            for place in range(places)
        ]
        part = torch.cat(shown, 1).t()
        part = part + noise * torch.randn(part.shape, generator=generator)
        x.append(F.interpolate(part.unsqueeze(0), size=frames, mode="linear"))
    return torch.cat(x), chosen


def in_context(
    split: str,
    videos: Clips,
    actions: Sequence[int],
    context: float,
    noise: float,
    generator: torch.Generator,
) -> Clips:
    """Videos whose background belongs to an action: each of its frames is mixed with images of the
    action that is nearest in time, as what leads up to an action and follows it resembles it.

    Args:
        split (str): The videos' split.
        videos (Clips): The videos, without noise.
        actions (sequence of int): What the videos' classes are.
        context (float): Share of the action in a background frame, in [0, 1).
        noise (float): Deviation of the noise that is then added everywhere.
        generator (torch.Generator): For images and noise.
    """
    if not 0 <= context < 1:
        raise ValueError(f"'context' must be in [0, 1), got {context}")
    pixels, labels = digit_images(split)
    count = labels.bincount(minlength=10)
    of_digit, first = labels.argsort(stable=True), count.cumsum(0) - count
    frames, kinds = videos.x.size(2), torch.tensor(list(actions))
    time, x = torch.arange(frames) + 0.5, videos.x.clone()
    for row, (segments, action) in enumerate(videos.truth):
        if not len(action):
            continue
        start, end = (segments * frames).unsqueeze(2).unbind(1)
        apart, near = torch.maximum(start - time, time - end).min(0)
        # An action fades in over its own edge, as in the frames themselves.
        share = context * (1 - (0.5 - apart / FADE).clamp(0, 1))
        for place in range(x.size(1) // 64):
            digit = kinds[action[near]] // 10**place % 10
            number = (torch.rand(frames, generator=generator) * count[digit]).long()
            image = pixels[of_digit[first[digit] + number]].t()
            part = x[row, 64 * place : 64 * place + 64]
            part += share * (image - part)
    x += noise * torch.randn(x.shape, generator=generator)
    return Clips(x, videos.truth, videos.classes)


def drawn(allowed: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows drawn from those that are allowed."""
    rows = allowed.nonzero().squeeze(1)
    return rows[torch.randint(len(rows), (count,), generator=generator)]


def known_actions(name: str) -> int:
    """Number of actions that timelines have."""
    if name not in ("digits", "THUMOS14"):
        raise ValueError(f"timelines are 'digits' or 'THUMOS14', got {name!r}")
    return 10 if name == "digits" else len(ACTIONS)


def only(video: ActionVideo, actions: Sequence[int]) -> ActionVideo:
    """A video of which some actions alone are known."""
    among = torch.isin(video.action, torch.tensor(list(actions)))
    return replace(video, segments=video.segments[among], action=video.action[among])


def runs(frames: int, actions: Tensor, generator: torch.Generator) -> Timeline:
    """One to three actions apart from each other, of log-uniform length, as shares."""
    wanted = 1 + int(torch.randint(3, (1,), generator=generator))
    stretch = (LONGEST / SHORTEST) ** torch.rand(wanted, generator=generator)
    length = (SHORTEST * stretch).round()
    before = length.cumsum(0) - length + torch.arange(wanted)
    length, before = length[before + length <= frames], before[before + length <= frames]
    free = frames - before[-1] - length[-1]
    start = before + (torch.rand(len(length), generator=generator) * (free + 1)).floor().sort()[0]
    action = actions[torch.randint(len(actions), (len(length),), generator=generator)]
    return torch.stack([start, start + length], 1) / frames, action


def window(videos: list[ActionVideo], seconds: float, generator: torch.Generator) -> Timeline:
    """A window around some video's action: what is at least half inside, cut, as shares."""
    video = videos[int(torch.randint(len(videos), (1,), generator=generator))]
    number = int(torch.randint(len(video.action), (1,), generator=generator))
    middle = float(video.segments[number].mean())
    start = middle - seconds * float(torch.rand(1, generator=generator) * 0.8 + 0.1)
    shares = (video.segments - start) / seconds
    inside = shares.clamp(0, 1)
    length = shares[:, 1] - shares[:, 0]
    mostly = (inside[:, 1] - inside[:, 0]) >= 0.5 * length
    return inside[mostly], video.action[mostly]


def digit_images(split: str) -> tuple[Tensor, Tensor]:
    """Scikit-learn's digits in [-1, 1], the first 60 % of each class for training."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    train, test, ours, theirs = train_test_split(
        pixels / 8 - 1, labels, train_size=0.6, stratify=labels, random_state=0
    )
    images_of = (train, ours) if split == "val" else (test, theirs)
    return torch.from_numpy(images_of[0]).float(), torch.from_numpy(images_of[1])


def draw(
    segments: Tensor,
    action: Tensor,
    frames: int,
    places: int,
    pixels: Tensor,
    labels: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Frames of one video, ``[64 * places, T]``; later actions cover earlier ones."""
    any_images = torch.randint(len(pixels), (frames, places), generator=generator)
    shuffled = torch.rand(frames, places, 64, generator=generator).argsort(-1)
    x = pixels[any_images].gather(-1, shuffled)
    time = torch.arange(frames) + 0.5
    for (start, end), number in zip(segments.tolist(), action.tolist(), strict=True):
        fade = (torch.minimum(time - start, end - time) / FADE + 0.5).clamp(0, 1).unsqueeze(1)
        for place in range(places):
            images = (labels == number // 10**place % 10).nonzero().squeeze(1)
            shown = images[torch.randint(len(images), (frames,), generator=generator)]
            x[:, place] = (1 - fade) * x[:, place] + fade * pixels[shown]
    return x.flatten(1).t()
