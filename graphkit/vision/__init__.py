"""Image, video and audio methods themselves; torch only, no PyG."""

from graphkit.vision.density import gaussian_rows, render_density
from graphkit.vision.patch_reordering import PatchReorder, PatchReorderCNN
from graphkit.vision.tensor_task import TensorTask
from graphkit.vision.tracking_by_counting import TrackingByCounting, TrackingSolution
from graphkit.vision.tracking_problem import TrackingProblem
from graphkit.vision.tracking_program import ProgramResult

__all__ = [
    "PatchReorder",
    "PatchReorderCNN",
    "ProgramResult",
    "TensorTask",
    "TrackingByCounting",
    "TrackingProblem",
    "TrackingSolution",
    "gaussian_rows",
    "render_density",
]
