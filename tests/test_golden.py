"""The golden command on files whose results come from loops over paths, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from tests import golden


def leaky(value):
    return np.where(value > 0, value, 0.2 * value)


def softmax(values):
    exponential = np.exp(np.asarray(values) - np.max(values))
    return exponential / exponential.sum()


def released_layer(x, paths, parameters):
    """One head of SPAGAN's released path layer, path by path."""
    h = x @ parameters["pathW"] + parameters["pathbias"]
    out = np.zeros_like(h)
    for i in range(len(x)):
        parts = []
        for rows, att in zip(paths, ("patha_2", "patha_3"), strict=True):
            pooled = np.array([h[p[1:]].max(axis=0) for p in rows if p[0] == i])
            joined = np.hstack([pooled, np.tile(h[i], (len(pooled), 1))])
            parts.append(softmax(leaky(joined @ parameters[att][0])) @ pooled)
        joined = np.hstack([np.array(parts), np.tile(h[i], (2, 1))])
        out[i] = softmax(leaky(joined @ parameters["lenAtt"][0])) @ np.array(parts)
    return np.where(out > 0, out, np.expm1(out))


def golden_arrays(nodes=7, features=5, size=3):
    rng = np.random.default_rng(0)
    own = np.arange(nodes)
    near = np.array([[i, j] for i in own for j in own if i != j and (i + 2 * j) % 3 == 0])
    far = np.array([[i, (i + 2) % nodes, (i + 3) % nodes] for i in own])
    paths = [np.vstack([rows, np.tile(own, (rows.shape[1], 1)).T]) for rows in (near, far)]
    x = rng.normal(size=(nodes, features))
    parameters = {
        "pathW": rng.normal(size=(features, size)),
        "pathbias": rng.normal(size=(1, size)),
        **{name: rng.normal(size=(1, 2 * size)) for name in ("patha_2", "patha_3", "lenAtt")},
    }
    grad_out, step = rng.normal(size=(nodes, size)), 1e-5
    grad_x = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        high, low = ((released_layer(m, paths, parameters) * grad_out).sum() for m in moved)
        grad_x[place] = (high - low) / (2 * step)
    return {
        "x": x,
        "paths2": paths[0],
        "paths3": paths[1],
        "out": released_layer(x, paths, parameters),
        "grad_out": grad_out,
        "grad_x": grad_x,
        **{f"param.{name}": value for name, value in parameters.items()},
    }


def write(folder, arrays, name="path_attention_test.npz"):
    np.savez(folder / name, **arrays)
    return str(folder / name)


def test_a_file_of_another_size_agrees(tmp_path, capsys):
    arrays = golden_arrays()
    errors = golden.checker(tmp_path / "path_attention_test.npz").check(arrays)
    assert errors["out"] < 1e-12
    assert errors["grad_x"] < 1e-7
    arrays["grad_x"] = arrays["grad_x"] * 0
    arrays["grad_out"] = arrays["grad_out"] * 0
    assert golden.main([write(tmp_path, arrays)]) == 0
    assert "agrees: largest relative error" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["out", "x", "param.pathW", "param.patha_3", "param.lenAtt"])
def test_a_file_that_differs_fails(tmp_path, capsys, name):
    arrays = golden_arrays()
    arrays[name] = arrays[name] + 1e-4 * np.arange(arrays[name].size).reshape(arrays[name].shape)
    assert golden.main([write(tmp_path, arrays)]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_results_of_another_shape_or_without_a_number_fail(tmp_path):
    arrays = golden_arrays()
    for wrong in (arrays["out"][:-1], np.full_like(arrays["out"], np.nan)):
        assert golden.main([write(tmp_path, {**arrays, "out": wrong})]) == 1


def test_unknown_and_missing_files_are_named_and_the_others_go_on(tmp_path, capsys):
    arrays = golden_arrays()
    arrays["grad_x"], arrays["grad_out"] = arrays["grad_x"] * 0, arrays["grad_out"] * 0
    files = [write(tmp_path, {}, "other_test.npz"), str(tmp_path / "path_attention_missing.npz")]
    assert golden.main([*files, write(tmp_path, arrays)]) == 1
    said = capsys.readouterr()
    assert "other_test.npz: no check for this name" in said.err
    assert "path_attention_missing.npz: no such file" in said.err
    assert "path_attention_test.npz: largest relative error" in said.out
    assert "2 not checked" in said.out
