# mypy: ignore-errors
"""A kernel's ranges shared out over the threads that PyTorch computes with.

These threads wait for work in a loop for milliseconds after PyTorch has used them: a kernel that
asks for them again starts in microseconds, and nobody competes with them for a core. A pool of
our own would do both worse: waking it takes as long as a small graph, and PyTorch's threads, still
looping, have the cores.
"""

from __future__ import annotations

import functools
import hashlib
import types as python_types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from graphkit.ops.cpu.kernels.compiling import helper, kernel

TASKS_PER_THREAD = 4

WHOLE, STATUS, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)


@intrinsic
def share_tasks(typing_context, body, team, threads, tasks, units, arguments):
    """Calls ``body(first, last, *arguments)`` on ``tasks`` ranges of ``0..units``.

    ``team`` is the address of OpenMP's ``GOMP_parallel``; 0 leaves all to the calling thread.
    """
    given = (types.int64, types.int64, *arguments.types)
    call = body.get_call_type(typing_context, given, {})

    def generate(context, builder, signature, args):
        compiled = body.dispatcher.get_compile_result(call)
        context.active_code_library.add_linking_library(compiled.library)
        # What threads share: the next task, whether one failed, sizes, and the arguments.
        shared = ir.LiteralStructType([WHOLE, STATUS, WHOLE, WHOLE, args[5].type])
        place = cgutils.alloca_once(builder, shared)
        values = (WHOLE(0), STATUS(0), args[3], args[4], args[5])
        for position, value in enumerate(values):
            builder.store(value, cgutils.gep_inbounds(builder, place, 0, position))
        function = _serve(context, builder.module, compiled, call, shared)
        kind = ir.FunctionType(
            ir.VoidType(), [function.type, BYTE.as_pointer(), STATUS, STATUS]
        ).as_pointer()
        data = builder.bitcast(place, BYTE.as_pointer())
        count = builder.trunc(args[2], STATUS)
        # The same function either way: the kernel is in the code once, and compiled once.
        with builder.if_else(cgutils.is_not_null(builder, args[1])) as (together, alone):
            with together:
                builder.call(builder.inttoptr(args[1], kind), [function, data, count, STATUS(0)])
            with alone:
                builder.call(function, [data])
        failed = builder.load(cgutils.gep_inbounds(builder, place, 0, 1))
        with builder.if_then(cgutils.is_not_null(builder, failed), likely=False):
            # Kernels raise nothing of their own.
            context.call_conv.return_user_exc(builder, MemoryError, ("of a kernel's buffers",))
        return context.get_dummy_value()

    return types.void(body, team, threads, tasks, units, arguments), generate


def _serve(
    context: Any, module: Any, compiled: Any, call: Any, shared: ir.LiteralStructType
) -> ir.Function:
    """The function that each thread runs: takes the next task until there is none."""
    name = module.get_unique_name("serve_ranges")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [BYTE.as_pointer()]), name)
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    place = builder.bitcast(function.args[0], shared.as_pointer())
    counter, failed, *fields = (
        cgutils.gep_inbounds(builder, place, 0, position) for position in range(5)
    )
    tasks, units, arguments = (builder.load(field) for field in fields)
    again, work, done = (function.append_basic_block(name) for name in ("again", "work", "done"))
    builder.branch(again)
    builder.position_at_end(again)
    # Whoever is free takes the next range: which thread runs which one decides no result.
    task = builder.atomic_rmw("add", counter, WHOLE(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", task, tasks), work, done)
    builder.position_at_end(work)
    first, last = (
        builder.sdiv(builder.mul(units, t), tasks) for t in (task, builder.add(task, WHOLE(1)))
    )
    values = cgutils.unpack_tuple(builder, arguments)
    status, _ = context.call_internal_no_propagate(
        builder, compiled.fndesc, call, [first, last, *values]
    )
    with builder.if_then(status.is_error, likely=False):
        builder.store(STATUS(1), failed)
    builder.branch(again)
    builder.position_at_end(done)
    builder.ret_void()
    return function


@helper
def tasks_for(units, threads):
    """Into how many ranges ``units`` are cut, so that whoever is done early finds more."""
    return min(units, TASKS_PER_THREAD * threads)


def _template(team, threads, tasks, units, *arguments):
    share_tasks(body, team, threads, tasks, units, arguments)  # noqa: F821


@functools.cache
def shared(body: Callable[..., None]) -> Callable[..., None]:
    """``shared(body)(team, threads, tasks, units, *arguments)``, of a kernel ``body``."""
    # A global of the function, not a variable of a closure: numba's files of machine code would
    # be named after the latter's value, which is another one in every process.
    scope = {"body": body, "share_tasks": share_tasks}
    function = python_types.FunctionType(_template.__code__, scope, f"{body.__name__}_shared")
    # Files know this module's age only: the text behind the kernel belongs to their name.
    text = Path(body.py_func.__code__.co_filename).read_bytes()
    function.__qualname__ = f"{function.__name__}_{hashlib.sha256(text).hexdigest()[:12]}"
    function.__module__ = __name__
    return kernel(function)
