"""The files of runs that Redis has forgotten go too."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from heapq import nsmallest
from pathlib import Path

import structlog

from promptflow_core.errors import FlowError
from promptflow_core.records import ExecutionStatus

PAGE = 200
MIN_AGE_S = 24 * 3600.0
"""Files come before their run is recorded, and an upload may take its time."""

StatusOf = Callable[[str], Awaitable[ExecutionStatus | None]]

_log = structlog.get_logger(__name__)


class FileSweep:
    """Looks through the folders of `root`, one per execution, a page at a time and round again."""

    def __init__(
        self, root: Path, delete: Callable[[str], Awaitable[None]], *, now_s: Callable[[], float] = time.time
    ) -> None:
        self._root = root
        self._delete = delete
        self._now_s = now_s
        self._after = ""

    async def sweep(self, status_of: StatusOf) -> None:
        """Delete the files of those executions of the next page that are no more and left nothing younger than a day.

        Raises:
            FlowError: STORE_UNAVAILABLE; then nothing is deleted.
        """
        page = await asyncio.to_thread(self._page)
        statuses = await asyncio.gather(*(status_of(execution_id) for execution_id in page))
        self._after = page[-1] if len(page) == PAGE else ""
        for execution_id, status in zip(page, statuses, strict=True):
            if status is None and self._is_old(execution_id):
                try:
                    await self._delete(execution_id)
                except FlowError as error:  # a folder that is no execution's
                    _log.warning("files_kept", execution_id=execution_id, error=str(error))

    def _page(self) -> list[str]:
        try:
            with os.scandir(self._root) as entries:
                names = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
                return nsmallest(PAGE, (name for name in names if name > self._after and not name.startswith(".")))
        except OSError:  # nothing was ever stored
            return []

    def _is_old(self, execution_id: str) -> bool:
        try:
            return self._now_s() - (self._root / execution_id).stat().st_mtime >= MIN_AGE_S
        except OSError:  # another server was quicker
            return False
