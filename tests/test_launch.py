"""How kernels are run: each task once, on the operands given, and a failure is told."""

import numpy as np
import pytest
from numba import cfunc, set_num_threads

from numpool._cpu import launch
from numpool._cpu.library import WALK_SIGNATURE
from numpool._cpu.memory import write

TASKS = 50
FAILING = 17


@cfunc(WALK_SIGNATURE)
def record(plan, source, other, out, extra, first, last):
    """A kernel whose plan is a table, where each task leaves the addresses that it was given."""
    for task in range(first, last):
        write(plan + 32 * task, source)
        write(plan + 32 * task + 8, other)
        write(plan + 32 * task + 16, out)
        write(plan + 32 * task + 24, extra)
    return last - first


@cfunc(WALK_SIGNATURE)
def fail(plan, source, other, out, extra, first, last):
    return 0 if first <= FAILING < last else last - first


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request):
    set_num_threads(request.param)
    yield
    set_num_threads(2)


def read_only(array):
    array.flags.writeable = False
    return array


OPERANDS = [
    np.zeros(5),
    np.zeros((3, 4, 5), np.uint8)[::-1, 1:, ::2],
    np.zeros(9, np.uint8)[1:].view(np.float64),
    read_only(np.zeros((2, 2), np.int16)),
    np.zeros((0, 3)),
    np.array(1.0),
    np.zeros(3, np.float32).view(np.recarray),
]


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("array", OPERANDS)
def test_each_task_is_given_the_addresses_of_the_operands(array, parallel):
    other = np.zeros(3)
    for operands in [(array, other, array, other), (array, None, None, None)]:
        table = np.full((TASKS, 4), -1, np.int64)
        launch.run(record.address, table.ctypes.data, TASKS, parallel, *operands)
        expected = [0 if a is None else a.__array_interface__["data"][0] for a in operands]
        np.testing.assert_array_equal(table, [expected] * TASKS)


@pytest.mark.parametrize("parallel", [False, True])
def test_tasks_may_start_anywhere(parallel):
    x = np.zeros(1)
    table = np.full((TASKS, 4), -1, np.int64)
    launch.run(record.address, table.ctypes.data, 20, parallel, x, None, None, None, 7)
    done = (table[:, 1] == 0).nonzero()[0]
    np.testing.assert_array_equal(done, range(7, 27))


@pytest.mark.parametrize("parallel", [False, True])
def test_a_kernel_that_fails_is_an_error(parallel):
    x = np.zeros(1)
    with pytest.raises(MemoryError, match="line buffers"):
        launch.run(fail.address, 0, TASKS, parallel, x, None, None, None)
    launch.run(fail.address, 0, FAILING, parallel, x, None, None, None)
