# mypy: ignore-errors
"""GPU kernels: one program per row and tile of heads and channels, no atomics."""

import triton
import triton.language as tl


@triton.jit
def _other_and_entry(others, perm, k, inside, HAS_OTHERS: tl.constexpr, HAS_PERM: tl.constexpr):
    """The neighbour and the entry behind position ``k`` of the sorted order."""
    entry = k
    if HAS_PERM:
        entry = tl.load(perm + k, mask=inside, other=0).to(tl.int64)
    other = entry
    if HAS_OTHERS:
        other = tl.load(others + k, mask=inside, other=0).to(tl.int64)
    return other, entry


@triton.jit
def sum_rows(
    indptr,
    others,
    perm,
    weight,
    weight_stride,
    x,
    out,
    num_in,
    heads,
    width,
    HAS_OTHERS: tl.constexpr,
    HAS_PERM: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """``out[r] = sum of weight[e] * x[other]`` over the entries of row ``r``."""
    row, batch = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    tiles = tl.cdiv(width, BLOCK_C)
    h = (tl.program_id(1) // tiles) * BLOCK_H + tl.arange(0, BLOCK_H)
    c = (tl.program_id(1) % tiles) * BLOCK_C + tl.arange(0, BLOCK_C)
    column = h[:, None] * width + c[None, :]
    used = (h < heads)[:, None] & (c < width)[None, :]
    total = tl.zeros((BLOCK_H, BLOCK_C), SUM)
    first, last = tl.load(indptr + row).to(tl.int64), tl.load(indptr + row + 1).to(tl.int64)
    for start in range(first, last, BLOCK_E):
        k = start + tl.arange(0, BLOCK_E)
        inside = k < last
        other, entry = _other_and_entry(others, perm, k, inside, HAS_OTHERS, HAS_PERM)
        source = (batch * num_in + other) * heads * width
        mask = inside[:, None, None] & used[None, :, :]
        value = tl.load(x + source[:, None, None] + column[None, :, :], mask=mask, other=0).to(SUM)
        if HAS_WEIGHT:
            place = batch * weight_stride + entry[:, None] * heads + h[None, :]
            mask_w = inside[:, None] & (h < heads)[None, :]
            value = value * tl.load(weight + place, mask=mask_w, other=0).to(SUM)[:, :, None]
        total += tl.sum(value, 0)
    place = (batch * tl.num_programs(0) + row) * heads * width + column
    tl.store(out + place, total.to(out.dtype.element_ty), mask=used)


@triton.jit
def dot_edges(
    source,
    target,
    x_src,
    x_dst,
    out,
    num_edges,
    num_sources,
    num_targets,
    heads,
    width,
    SUM: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """``out[e, h] = <x_src[j, h], x_dst[i, h]>``."""
    batch = tl.program_id(2).to(tl.int64)
    e = tl.program_id(0).to(tl.int64) * BLOCK_E + tl.arange(0, BLOCK_E)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    inside = e < num_edges
    left = batch * num_sources + tl.load(source + e, mask=inside, other=0).to(tl.int64)
    right = batch * num_targets + tl.load(target + e, mask=inside, other=0).to(tl.int64)
    used = inside[:, None] & (h < heads)[None, :]
    total = tl.zeros((BLOCK_E, BLOCK_H), SUM)
    for start in range(0, width, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)
        column = (h[:, None] * width + c[None, :])[None, :, :]
        mask = used[:, :, None] & (c < width)[None, None, :]
        a = tl.load(x_src + left[:, None, None] * heads * width + column, mask=mask, other=0)
        b = tl.load(x_dst + right[:, None, None] * heads * width + column, mask=mask, other=0)
        total += tl.sum(a.to(SUM) * b.to(SUM), 2)
    place = (batch * num_edges + e)[:, None] * heads + h[None, :]
    tl.store(out + place, total.to(out.dtype.element_ty), mask=used)


@triton.jit
def softmax_rows(
    indptr,
    perm,
    x,
    out,
    num_entries,
    width,
    HAS_PERM: tl.constexpr,
    NORMALISED: tl.constexpr,
    SUM: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Softmax within each group, or (not ``NORMALISED``) the logarithm of its denominator."""
    row, batch = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    top, total = tl.full((BLOCK_C,), float("-inf"), SUM), tl.zeros((BLOCK_C,), SUM)
    first, last = tl.load(indptr + row).to(tl.int64), tl.load(indptr + row + 1).to(tl.int64)
    for start in range(first, last, BLOCK_E):
        k = start + tl.arange(0, BLOCK_E)
        used = (k < last)[:, None] & (c < width)[None, :]
        _, entry = _other_and_entry(perm, perm, k, k < last, False, HAS_PERM)
        place = (batch * num_entries + entry)[:, None] * width + c[None, :]
        value = tl.load(x + place, mask=used, other=float("-inf")).to(SUM)
        higher = tl.maximum(top, tl.max(value, 0))
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(top - shift) + tl.sum(tl.exp(value - shift[None, :]), 0)
        top = higher
    shift = tl.where(top == float("-inf"), 0.0, top)
    if NORMALISED:
        for start in range(first, last, BLOCK_E):
            k = start + tl.arange(0, BLOCK_E)
            used = (k < last)[:, None] & (c < width)[None, :]
            _, entry = _other_and_entry(perm, perm, k, k < last, False, HAS_PERM)
            place = (batch * num_entries + entry)[:, None] * width + c[None, :]
            value = tl.load(x + place, mask=used, other=float("-inf")).to(SUM)
            # A group of -inf has nothing to share out: its shares are 0, not NaN.
            share = tl.exp(value - shift[None, :]) / tl.where(total == 0, 1.0, total)[None, :]
            tl.store(out + place, share.to(out.dtype.element_ty), mask=used)
    else:
        place = (batch * tl.num_programs(0) + row) * width + c
        tl.store(out + place, (shift + tl.log(total)).to(out.dtype.element_ty), mask=c < width)
