"""The file store: whole or not at all, named by content, nothing outside its folder."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.errors import FlowError, Reason
from promptflow_core.values import FileRef
from promptflow_workers.dispatch.blobs import BlobStore


async def stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def write(
    store: BlobStore, chunks: Sequence[bytes], execution_id: str = "x1", max_bytes: int = 1 << 20
) -> FileRef:
    return await store.write(
        execution_id, stream(chunks), name="letter.jpg", content_type="image/jpeg", max_bytes=max_bytes
    )


def everything_in(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@given(chunks=st.lists(st.binary(max_size=200), max_size=8))
def test_what_was_written_is_read_under_the_hash_of_its_bytes(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    with tempfile.TemporaryDirectory() as root:
        store = BlobStore(Path(root))
        ref = asyncio.run(write(store, chunks))
        assert ref == FileRef(f"x1/{hashlib.sha256(data).hexdigest()}", "image/jpeg", "letter.jpg", len(data))
        assert store.path(ref).read_bytes() == data
        assert len(everything_in(Path(root))) == 2


@given(execution_id=st.text(max_size=40), digest=st.text(max_size=70))
def test_no_reference_leads_out_of_the_store(execution_id: str, digest: str) -> None:
    with pytest.raises(FlowError) as caught:
        BlobStore(Path("/")).path(FileRef(f"{execution_id}/{digest}"))
    assert caught.value.record.reason is Reason.FILE_UNREADABLE


@pytest.mark.parametrize(
    "file_id", ["", "/", "x1", "x1/", "../secret", "x1/../../secret", "/etc/passwd", "x1/" + "0" * 64, "./" + "0" * 64]
)
def test_a_reference_to_nothing_is_a_typed_error(store: BlobStore, tmp_path: Path, file_id: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / ("0" * 64)).write_text("secret")
    with pytest.raises(FlowError) as caught:
        store.path(FileRef(file_id, name="letter.jpg"))
    assert caught.value.record.reason is Reason.FILE_UNREADABLE


@pytest.mark.parametrize("execution_id", ["", ".", "..", "a/b", "../x", "/x", "a\0b", ".hidden", "x" * 200, "é"])
async def test_no_execution_id_names_a_folder_outside(store: BlobStore, tmp_path: Path, execution_id: str) -> None:
    with pytest.raises(FlowError) as caught:
        await write(store, [b"data"], execution_id)
    assert caught.value.record.reason is Reason.INVALID_INPUT
    with pytest.raises(FlowError):
        await store.delete(execution_id)
    assert everything_in(tmp_path) == []


async def test_a_file_that_is_too_large_leaves_nothing_behind(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(FlowError) as caught:
        await write(store, [b"1234", b"5678"], max_bytes=7)
    assert caught.value.record.reason is Reason.FILE_TOO_LARGE
    assert everything_in(tmp_path) == []


async def test_a_file_of_the_largest_size_is_taken(store: BlobStore) -> None:
    assert (await write(store, [b"1234", b"5678"], max_bytes=8)).size_bytes == 8


async def test_an_upload_that_breaks_off_leaves_nothing_behind_but_other_files(
    store: BlobStore, tmp_path: Path
) -> None:
    kept = await write(store, [b"kept"])

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.write("x1", broken(), name="a", content_type="", max_bytes=100)
    assert everything_in(tmp_path) == [tmp_path / "x1", store.path(kept)]


async def test_a_disk_that_refuses_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FlowError) as caught:
        await write(BlobStore(tmp_path / "file"), [b"data"])
    assert caught.value.record.reason is Reason.STORE_UNAVAILABLE


async def test_the_same_bytes_written_at_once_are_one_file(store: BlobStore, tmp_path: Path) -> None:
    refs = await asyncio.gather(*(write(store, [b"same"]) for _ in range(8)))
    assert len(set(refs)) == 1
    assert everything_in(tmp_path) == [tmp_path / "x1", store.path(refs[0])]


async def test_files_go_with_their_execution_and_only_with_it(store: BlobStore, tmp_path: Path) -> None:
    gone, kept = await write(store, [b"a"]), await write(store, [b"a"], "x2")
    await store.delete("x1")
    await store.delete("x1")
    with pytest.raises(FlowError):
        store.path(gone)
    assert store.path(kept).read_bytes() == b"a"
