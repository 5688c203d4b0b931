"""The numba backend."""

# fingerprint: as graphkit.ops.reference

from numba.core import event

from graphkit.ops.cpu.notice import CompileNotice

event.register("numba:compile", CompileNotice("graphkit."))
