"""NTU RGB+D in miniature, written in exactly the raw format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FIRST_BODY = 72057594037931101


def joint_line(values: np.ndarray) -> str:
    """Twelve numbers with seven digits each, as the sensor's program writes them."""
    return " ".join(f"{value:.7g}" for value in values)


def body_lines(label: int, joints: np.ndarray) -> list[str]:
    """A body in a frame: ten numbers, the number of joints, twelve numbers for each."""
    image = np.abs(joints[:, [0, 1, 0, 1]]) * 300 + 100
    turn = np.tile([0.1, -0.2, 0.97, 0.05, 2.0], (len(joints), 1))
    rows = np.concatenate([joints, image, turn], axis=1)
    head = [f"{label} 0 1 1 1 1 0 0.02764709 -0.05745083 2", str(len(joints))]
    return head + [joint_line(row) for row in rows]


def skeleton_text(frames: list[dict[int, np.ndarray]]) -> str:
    """A file from one ``{body: [25, 3]}`` per frame."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for label, joints in bodies.items():
            lines += body_lines(label, joints)
    return "\r\n".join(lines) + "\r\n"


def random_frames(counts: list[int], generator: np.random.Generator) -> list[dict[int, np.ndarray]]:
    """Frames of so many bodies each, at random places."""
    return [
        {FIRST_BODY + body: generator.normal(size=(25, 3)) for body in range(count)}
        for count in counts
    ]


def write(path: Path, frames: list[dict[int, np.ndarray]]) -> Path:
    """Writes a ``.skeleton`` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(skeleton_text(frames).encode())
    return path


def moving_body(label: int, frames: int, generator: np.random.Generator, swing: float = 0.3):
    """A slim body; the label says which limb swings, and how often, ``[frames, 25, 3]``."""
    rest = np.zeros((25, 3))
    rest[:, 0] = np.linspace(-0.2, 0.2, 25)
    rest[:, 1] = np.linspace(-0.8, 0.8, 25)[np.random.default_rng(1).permutation(25)]
    rest[:, 2] = 3.0
    rest[[0, 1, 20, 4, 8]] = [[0, -0.2, 3], [0, 0.1, 3], [0, 0.4, 3], [-0.2, 0.4, 3], [0.2, 0.4, 3]]
    clip = np.repeat(rest[None], frames, axis=0)
    wave = np.sin(2 * np.pi * (label + 1) * np.arange(frames) / frames)
    first = 5 + 4 * (label % 3)
    clip[:, first : first + 3, 1] += swing * wave[:, None]
    return clip + generator.normal(size=clip.shape) * 0.005


def write_ntu(root: Path, setups=(1, 2), subjects=(1, 3), actions=(1, 2, 3), frames=14) -> Path:
    """A tree of NTU RGB+D: every action by every subject in every setup, before two cameras."""
    folder = root / "NTURGBD" / "nturgb+d_skeletons"
    generator = np.random.default_rng(0)
    for setup in setups:
        for camera in (1, 2):
            for subject in subjects:
                for action in actions:
                    name = f"S{setup:03d}C{camera:03d}P{subject:03d}R001A{action:03d}"
                    body = moving_body(action, frames + subject, generator)
                    write(folder / f"{name}.skeleton", [{FIRST_BODY: joints} for joints in body])
    return folder
