"""How the work of a walk is cut, and how large its buffers are.

A plan's cut depends on shapes, strides and types, and never on the number of threads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from numpool._windows import Axis

# A line of columns fits the first-level cache, with room for those it is combined with.
LINE_BYTES = 32768
# A line of wide accumulators, made of elements half as wide or less, together with these, where
# windows stand side by side: 1.8 times on cubes of 160 taps.
_WIDE_LINE_BYTES, _WIDE = 8192, 8
_SIDE_BY_SIDE = 8
# Windows that are folded one by one hold as many elements in a tile, at least one of them.
_WINDOWS = 1 << 16
# They are so of as many channels at a time.
BLOCK_CHANNELS = 256
# Lines that are laid out at a time.
_BATCH_BYTES = 32768
# A tile over whose rows windows slide fits the second-level cache; its rows start at cache lines.
_TILE_BYTES = 524288
_TILE_STEP = 16
# Where windows reach over more, strips may grow to so many bytes.
_STRIP_BYTES = 1 << 25
# Lines of fewer elements are worse than one long line that holds all of them.
_NARROW = 64
_FLAT = 512
# Bands of rows: few enough that neighbours share what they read, enough tasks to keep any number of
# threads busy. Where windows slide over rows, neighbours share as many as a window reaches over.
_BAND_ROWS = 8
_BAND_REACHES = 4
# Strips of lines have new ones for a part of a reach at least, and columns for another: with fewer,
# windows of 501 x 501 took 20 times as long as such of 301 x 301.
_STRIP_REACHES, _TILE_REACHES = 4, 2
TASKS = 64
# Outputs whose windows share most of their rows (row_windows.py).
_ROW_GROUP = 8
# As many taps are folded at once (walk.py).
_LEAF_TAPS = 9


class Cut(NamedTuple):
    """How the work is cut and done: see the fields of the same names in _cpu/plan.py."""

    slide_rows: bool
    flat: bool
    bands: int
    band_rows: int
    tiles: int
    tile_columns: int
    blocks: int
    block_channels: int
    strip_rows: int
    row_group: int
    group_step: int
    core_sums: int
    core_rows: int
    core_rest: int
    batch_rows: int
    pitch: int
    result_pitch: int
    spread_pitch: int
    laid_size: int
    strip_size: int
    result_size: int
    slid_size: int
    spare_size: int
    loaded_size: int
    level_size: int
    fold_columns: int

    @property
    def walk(self) -> str:
        """The kernel that does it."""
        if self.fold_columns:
            return "walk_long_windows"
        if self.slide_rows:
            return "walk_flat" if self.flat else "walk_strips"
        return "walk"


def parts(size: int, count: int) -> tuple[int, int]:
    """About so many parts of a size, and the size of each but the last."""
    each = -(-size // count)
    return -(-size // each), each


def most_taps(axis: Axis) -> int:
    """The most taps with data that a window has along an axis."""
    return min(axis.kernel, -(-axis.length // axis.dilation))


def _passes(kernel: int) -> int:
    """About how many passes sliding takes over its line."""
    return 2 * math.ceil(math.log(kernel + 1, 3))


def _cut_columns(column: Axis, channels: int, limit: int) -> tuple[bool, int, int]:
    """Whether windows slide along columns; output columns and channels of a line of about `limit`
    elements.
    """
    reach, stride, outputs = column.reach, column.stride, column.outputs
    short = reach * channels <= limit
    if column.phases.mixed:
        slide = False
    elif short:
        slide = stride <= 4 * reach + 8
    else:
        sliding = _passes(column.kernel) * ((outputs - 1) * stride + reach)
        slide = stride * 4 < reach and sliding < outputs * most_taps(column)
    if slide:
        block = channels if short else min(channels, max(16, limit // reach))
        tile = max((limit // block - reach) // stride + 1, 4 * reach // stride, 1)
    else:
        block = min(channels, BLOCK_CHANNELS)
        tile = max(min(limit // block, _WINDOWS // (reach * block)), 1)
    tiles = -(-outputs // tile)
    return slide, -(-outputs // tiles), block


def _slides_over_rows(
    depth_taps: int, row: Axis, column: Axis, channels: int, converted: bool, most: int
) -> bool:
    """Whether windows are slid over the rows of a tile, where folding takes each window's rows
    anew; a strip may have so many elements at most.
    """
    overlap = row.stride < row.reach and row.kernel > 1
    width = column.length * channels
    narrowest = min(column.reach + max(column.reach // _TILE_REACHES, _NARROW), column.length)
    strip = (row.reach + row.reach // _STRIP_REACHES) * narrowest * channels
    if not overlap or strip > most:
        return False
    # In passes over an output row: folding against reading its new lines, which are laid out first
    # if they are of several depths, and sliding.
    new = row.stride if depth_taps == 1 else (depth_taps + 1) * row.stride
    slower = depth_taps * row.kernel > 4 + new
    return converted or width < _NARROW or slower


class _Strips(NamedTuple):
    """How windows slide over the rows of a band: see _cpu/plan.py and row_windows.py."""

    strip_rows: int
    row_group: int
    group_step: int
    core_sums: int
    core_rows: int
    core_rest: int


def _cut_strips(row: Axis, band_rows: int, most_lines: int) -> _Strips:
    """Strips of at most so many lines, or of a good part more than windows reach over."""
    group = 1
    while 2 * group * row.stride <= min(_ROW_GROUP, row.kernel):
        group *= 2
    step = group * row.stride
    core = row.kernel - step + row.stride
    sums, rest = divmod(core, step)
    if sums <= 1:
        sums, rest = 1, 0
    together = group * row.dilation
    rows = max(
        (most_lines - row.reach) // row.stride + 1, row.reach // _STRIP_REACHES // row.stride
    )
    rows = min(max(rows // together, 1) * together, band_rows)
    return _Strips(rows, group, step, sums, core if sums == 1 else step, rest)


def _flat_pitch(row: Axis, column: Axis, channels: int) -> int | None:
    """How far apart the lines of a tile are that lie in one line: as padding needs it, which
    neighbours share, and as strides divide. None where that gains nothing.
    """
    windows = column.windows_of(column.outputs)
    reach = (windows - 1) * column.stride + column.reach
    before = _margin(column, reach)
    after = max(reach - before - column.length, 0)
    pitch = column.length + max(before, after)
    pitch = -(-pitch // column.stride) * column.stride
    spread = pitch * column.phases.period
    wasteful = spread > 1.25 * column.outputs * column.stride + 2
    return None if row.outputs == 1 or spread * channels > _FLAT or wasteful else pitch


def _margin(column: Axis, reach: int) -> int:
    """The columns of a line before its data."""
    return min(max(column.before, 0), reach)


def _leaves(depth_taps: int, row_taps: int) -> int:
    """How many leaves the taps of an output row are folded in."""
    if row_taps > 1:
        return depth_taps * -(-row_taps // _LEAF_TAPS)
    return -(-depth_taps // _LEAF_TAPS)


def _rounded(size: int) -> int:
    """The size of a buffer that lets the next one start at a cache line."""
    return -(-size // 64) * 64


def _lines(count: int, pitch: int, size: int) -> int:
    """What so many lines take of a buffer."""
    return (count - 1) * pitch + max(pitch, size)


def cut_walk(
    items: int,
    depth: Axis,
    row: Axis,
    column: Axis,
    channels: int,
    itemsize: int,
    converted: bool,
    loaded: bool,
    tasks: int = TASKS,
) -> Cut:
    """The cut of a walk into some `tasks`; `converted` tells whether rows are not accumulators as
    they are, `loaded` whether they are loaded by a row function.
    """
    side_by_side = column.stride >= column.reach >= _SIDE_BY_SIDE
    wide = converted and itemsize >= _WIDE and side_by_side
    limit = (_WIDE_LINE_BYTES if wide else LINE_BYTES) // itemsize
    slide, tile, block = _cut_columns(column, channels, limit)
    budget = _TILE_BYTES // itemsize
    spread = slide and column.phases.period > 1
    slide_rows = slide and column.phases.period == row.phases.period == 1
    most = _STRIP_BYTES // itemsize
    slide_rows = slide_rows and _slides_over_rows(
        most_taps(depth), row, column, block, converted, most
    )
    if slide_rows:
        # A strip of lines stays in the cache, a good part of it not shared with its neighbours.
        lines = row.reach + row.reach // 2 + _BAND_ROWS * row.stride
        widest = (budget // (lines * block) - column.reach) // column.stride + 1
        tile = min(tile, max(widest, column.reach // _TILE_REACHES // column.stride, 1))
    tiles = -(-column.outputs // tile)
    tile = -(-column.outputs // tiles)
    blocks = -(-channels // block)
    windows = column.windows_of(tile)
    reach = (windows - 1) * column.stride + column.reach
    flat_pitch = None
    if slide and tiles == 1 and blocks == 1:
        flat_pitch = _flat_pitch(row, column, channels)
    flat = flat_pitch is not None
    if slide_rows and not flat and tile > _TILE_STEP:
        tile = -(-tile // _TILE_STEP) * _TILE_STEP
        tiles = -(-column.outputs // tile)
        windows = tile
        reach = (windows - 1) * column.stride + column.reach
    pitch, result_pitch, spread_pitch = reach * block, windows * block, spread * tile * block
    if flat_pitch is not None:
        pitch, result_pitch = flat_pitch * block, flat_pitch // column.stride * block
        spread_pitch = spread * pitch * column.phases.period

    pieces = items * depth.places * tiles * blocks
    bands = 1
    if pieces < tasks:
        least = _BAND_ROWS
        if slide_rows and not flat:
            least = max(least, _BAND_REACHES * row.reach // row.stride)
        bands = max(1, min(-(-tasks // pieces), row.outputs // least))
    band_rows = -(-row.outputs // bands)
    strips, lines = _Strips(*[0] * 6), band_rows
    if slide_rows:
        strips = _cut_strips(row, band_rows, budget // (result_pitch if flat else pitch))
        lines = (strips.strip_rows - 1) * row.stride + row.reach
        if flat:
            band_rows = strips.strip_rows
    if flat and slide_rows:
        batch_rows = lines
    elif slide_rows:
        batch_rows = strips.row_group
    else:
        most = _BATCH_BYTES // (max(pitch, spread_pitch) * itemsize)
        batch_rows = max(1, min(lines, most))

    # Sizes of buffers, in accumulators.
    fold_columns = strip = 0
    margin = _margin(column, reach) * block
    results = _lines(batch_rows, result_pitch, windows * block)
    # Of the windows with the most taps, and of those with one less.
    results *= min(column.phases.per_period, 2)
    slid = _lines(batch_rows, spread_pitch, spread * tile * block)
    if not slide:
        fold_columns = max(LINE_BYTES // itemsize // (column.dilation * block), 1)
        pitch = ((fold_columns - 1) * column.dilation + 1) * block
        margin, results = 0, tile * block
        slid = 64 * block  # a stack of pieces: more levels than a tree can have
    spare = 4 * (batch_rows * pitch + margin if flat else pitch)
    if flat and slide_rows:
        slid = batch_rows * result_pitch
    elif slide_rows:
        strip = lines * pitch + margin
        cores = -(-strips.strip_rows // (strips.row_group * row.dilation))
        sums = cores + strips.core_sums - 1
        slid = (sums + cores) * pitch
        spare_lines = cores + max(2 * sums, strips.core_rows + 1)
        spare = max(spare, max(spare_lines, strips.row_group) * pitch)
    loaded_rows = _LEAF_TAPS
    taps = most_taps(depth), most_taps(row)
    if slide and loaded and row.dilation == 1 and row.stride <= taps[1] and taps != (1, 1):
        # Rows that are taps of several lines are loaded once.
        loaded_rows += min(taps[0], _LEAF_TAPS) * batch_rows * row.stride
    leaves = _leaves(*taps)
    return Cut(
        slide_rows=slide_rows,
        flat=flat,
        bands=-(-row.outputs // band_rows),
        band_rows=band_rows,
        tiles=tiles,
        tile_columns=tile,
        blocks=blocks,
        block_channels=block,
        **strips._asdict(),
        batch_rows=batch_rows,
        pitch=pitch,
        result_pitch=result_pitch,
        spread_pitch=spread_pitch,
        laid_size=_rounded(batch_rows * pitch + margin),
        strip_size=_rounded(strip),
        result_size=_rounded(results),
        slid_size=_rounded(slid),
        spare_size=_rounded(spare),
        loaded_size=_rounded(loaded_rows * pitch),
        level_size=_rounded((leaves.bit_length() + 1) * pitch) if leaves > 1 else 0,
        fold_columns=fold_columns,
    )
