"""CPU kernels compiled by numba. Importing this package imports numba; nothing is compiled yet.

Kernels see flat arrays and int64 offsets. They walk *chunks*: equal shares of rows plus entries
(the merge path of sparse products), so that a row of any length costs its share. A row that
chunks cut in pieces is finished from the pieces, in order: results do not depend on the number
of threads.
"""
