import pytest
import torch

from graphkit.testing import assert_grows_linearly
from graphkit.vision import draw_strokes
from tests.spoiled import spoiled


def by_loops(points, strokes, size, width):
    """Every pixel, every line, one at a time."""
    image = points.new_zeros(len(points), 1, size, size)
    for n, face in enumerate(points):
        for i in range(size):
            for j in range(size):
                pixel = points.new_tensor([(j + 0.5) / size * 2 - 1, (i + 0.5) / size * 2 - 1])
                paper = 1.0
                for a, b in strokes.tolist():
                    step = face[b] - face[a]
                    along = ((pixel - face[a]) @ step / max(float(step @ step), 1e-12)).clamp(0, 1)
                    square = (pixel - face[a] - along * step).square().sum()
                    paper = paper * (1 - (-square / (2 * width**2)).exp())
                image[n, 0, i, j] = 1 - paper
    return image


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_images_are_those_of_loops(dtype, near):
    points = torch.rand(2, 5, 2, dtype=dtype) * 2 - 1
    strokes = torch.tensor([[0, 1], [1, 2], [3, 3], [4, 0]])
    image = draw_strokes(points, strokes, 7, 0.2)
    assert torch.allclose(image, by_loops(points, strokes, 7, 0.2), rtol=near, atol=near)


def test_no_line_is_no_ink_and_lines_have_no_direction():
    points = torch.rand(2, 3, 2)
    assert draw_strokes(points, torch.zeros(0, 2).long()).abs().max() < 1e-6
    strokes = torch.tensor([[0, 1], [1, 2]])
    assert torch.allclose(draw_strokes(points, strokes), draw_strokes(points, strokes.flip(1)))


def test_gradients():
    points = (torch.rand(1, 3, 2).double() * 2 - 1).requires_grad_()
    strokes = torch.tensor([[0, 1], [1, 2]])
    assert torch.autograd.gradcheck(lambda p: draw_strokes(p, strokes, 4, 0.3), points)


def test_cost_grows_with_lines():
    points = torch.rand(1, 65, 2)

    def draw(count):
        pairs = torch.stack([torch.arange(count), torch.arange(count) + 1], 1)
        return lambda: draw_strokes(points, pairs, 16)

    assert_grows_linearly(draw, 16)


@pytest.mark.parametrize(
    ("points", "strokes", "options", "message"),
    [
        (torch.rand(3, 2), torch.zeros(1, 2).long(), {}, "points"),
        (torch.rand(1, 3, 2), torch.zeros(2).long(), {}, "strokes"),
        (torch.rand(1, 3, 2), torch.zeros(1, 2).long(), {"size": 0}, "size"),
        (torch.rand(1, 3, 2), torch.zeros(1, 2).long(), {"width": 0.0}, "width"),
        (spoiled((1, 3, 2), torch.inf), torch.zeros(1, 2).long(), {}, "NaN"),
    ],
)
def test_wrong_input_is_refused(points, strokes, options, message):
    with pytest.raises(ValueError, match=message):
        draw_strokes(points, strokes, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_lines_have_finite_gradients(dtype):
    points = torch.tensor([[[-0.75, -0.75], [0.75, -0.75]]], dtype=dtype, requires_grad=True)
    image = draw_strokes(points, torch.tensor([[0, 1]]), size=4, width=0.1)
    image.square().sum().backward()
    assert image.dtype == dtype
    assert points.grad.isfinite().all()
