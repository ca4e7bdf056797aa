"""A client's batches: rows gathered in large blocks, then views, instead of a gather per step."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from fedrun.core.layout import channels_last
from fedrun.core.task import Examples

BLOCK_BYTES = 1 << 22  # of gathered examples: a whole client mostly, and little memory beside it


def batches(
    examples: Examples, rows: Tensor, bounds: list[int], images_last: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x, y) of step t: the rows `rows[bounds[t]:bounds[t + 1]]`.

    images_last: lay images out with their channels innermost.
    """
    row_bytes = examples.x[:1].numel() * examples.x.element_size()
    room = max(1, BLOCK_BYTES // max(row_bytes, 1))
    step, last = 0, len(bounds) - 1
    while step < last:
        begin, until = bounds[step], step + 1
        while until < last and bounds[until + 1] - begin <= room:
            until += 1
        block = rows[begin : bounds[until]]
        x = examples.x.index_select(0, block)
        x = channels_last(x) if images_last else x
        y = examples.y.index_select(0, block)
        for t in range(step, until):
            at, end = bounds[t] - begin, bounds[t + 1] - begin
            yield x[at:end], y[at:end]
        step = until
