"""What a peer is."""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data


class Run(NamedTuple):
    """A call that can be timed, and how its result becomes arrays with the axes of the case.

    The arrays are the values and, where the case wants them, the indices as flat positions.
    """

    call: Callable[[], Any]
    arrays: Callable[[Any], tuple[np.ndarray, ...]]


class Peer(NamedTuple):
    """A library, or one way to use it.

    `supports` tells whether it does the same work as a case. `prepare` brings the arrays into the
    layout that suits it best, and builds and warms whatever is not part of a call. `running`: it
    averages by running sums, which are less exact.
    """

    name: str
    distribution: str
    threads: int
    supports: Callable[[Case], bool]
    prepare: Callable[[Data], Run]
    running: bool = False

    @property
    def version(self) -> str | None:
        """The version that is installed, if any."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None
