"""The home thread: the one that runs the notebook's cells.

ipykernel 7 runs widget handlers in other threads while a cell runs. A twin can run anywhere, but
a run on the user's own model, and one that draws from the shared random number generators, must
not happen beside a cell: those go to the home thread and wait for it to be free.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from explain_widgets.live.errors import NeedsHomeThreadError

if TYPE_CHECKING:
    import torch

    from explain_widgets.live.samples import Sample, Samples


class Home:
    """The thread in which a live model was made, taken for the one that runs the user's cells.

    Examples
    --------
    >>> from explain_widgets.live.home import Home
    >>> Home().is_current()
    True
    """

    def __init__(self) -> None:
        self._ident = threading.get_ident()

    def is_current(self) -> bool:
        """Whether the calling thread is the home thread."""
        return threading.get_ident() == self._ident

    def is_busy(self) -> bool:
        """Whether the user's code is running in the home thread right now.

        In a plain program the thread always runs the user's code while it is alive.
        """
        return running_code(self._ident) is not None

    def read(self, samples: Samples, index: int, device: torch.device | None = None) -> Sample:
        """A sample, its tensors on ``device``, read without moving the user's random numbers.

        Raises
        ------
        NeedsHomeThreadError
            When reading draws random numbers and this is another thread.
        """
        at_home = self.is_current()
        if samples.draws_random and not at_home:
            raise NeedsHomeThreadError(
                "Reading a sample draws random numbers, which a running cell may be drawing as "
                "well: waiting for it to end."
            )
        return samples.get(index, device=device, keep_random_state=at_home)

    def call_when_free(self, function: Callable[[], None]) -> bool:
        """Call ``function`` in the home thread as soon as no cell runs there.

        Returns False where no event loop serves that thread (a plain program): nothing is called.
        """
        loop = _main_loop()
        if loop is None or self._ident != threading.main_thread().ident:
            return False
        loop.add_callback(function)
        return True


def running_code(ident: int) -> object | None:
    """What of the user's runs in a thread: the file name of the cell, None between cells.

    Read from the thread's stack, so that it needs no event, no state, and nothing registered: in
    IPython a cell runs where a frame of ``run_code`` is; the frame above it is one of the cell's
    statements, which share a file name. In a plain program and in other threads, the thread itself
    while it is alive.
    """
    frame = sys._current_frames().get(ident)
    if frame is None:
        return None
    if not _has_kernel() or ident != threading.main_thread().ident:
        return ident
    cell = ""
    while frame is not None:
        if frame.f_code.co_name in _CELL_FUNCTIONS and "IPython" in frame.f_code.co_filename:
            return cell
        cell = frame.f_code.co_filename
        frame = frame.f_back
    return None


_CELL_FUNCTIONS = frozenset({"run_code", "run_cell", "run_cell_async", "_run_cell"})


def _has_kernel() -> bool:
    return _main_loop() is not None


def _main_loop() -> _Loop | None:
    kernel_base = sys.modules.get("ipykernel.kernelbase")
    if kernel_base is None or not kernel_base.Kernel.initialized():
        return None
    return getattr(kernel_base.Kernel.instance(), "io_loop", None)


class _Loop:
    """What is used of tornado's IOLoop (for the type checker)."""

    def add_callback(self, callback: Callable[[], None]) -> None: ...
