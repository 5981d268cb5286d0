"""The embedded server: private, shared by its users, durable, and gone when they are."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from promptflow_server.embedded_redis import MAX_SOCKET_PATH_BYTES, EmbeddedRedis

USER = """
import sys
from pathlib import Path
from promptflow_server.embedded_redis import EmbeddedRedis
embedded = EmbeddedRedis(Path(sys.argv[1]))
print(embedded.start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "redis"


@pytest.fixture
def embedded(directory: Path) -> Iterator[EmbeddedRedis]:
    user = EmbeddedRedis(directory)
    yield user
    user.close()


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def process_id(url: str) -> int:
    with client(url) as connection:
        return int(connection.info("server")["process_id"])


def wait_until_stopped(directory: Path) -> None:
    """Server and guard hold this lock as long as they live."""
    with (directory / "guard.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def kill(pid: int) -> None:
    """Returns when it is dead."""
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    select.select([descriptor], [], [], 5.0)
    os.close(descriptor)


def user_process(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, process.stdout.readline().decode().strip()


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_answers_commands_with_the_settings_that_durability_needs(embedded: EmbeddedRedis) -> None:
    with client(embedded.start()) as connection:
        settings = connection.config_get("append*") | connection.config_get("maxmemory-policy")
    assert (settings["appendonly"], settings["appendfsync"], settings["maxmemory-policy"]) == (
        "yes",
        "everysec",
        "noeviction",
    )


def test_nobody_gets_in_without_the_password(embedded: EmbeddedRedis, directory: Path) -> None:
    embedded.start()
    with (
        redis.Redis(unix_socket_path=str(directory / "redis.sock")) as connection,
        pytest.raises(redis.AuthenticationError),
    ):
        connection.ping()


@pytest.mark.parametrize(("name", "mode"), [(".", 0o700), ("password", 0o600), ("redis.sock", 0o700)])
def test_other_users_of_the_machine_are_kept_out(
    embedded: EmbeddedRedis, directory: Path, name: str, mode: int
) -> None:
    directory.mkdir(mode=0o755)
    embedded.start()
    assert stat.S_IMODE((directory / name).stat().st_mode) == mode


def test_the_password_is_on_no_command_line(embedded: EmbeddedRedis, directory: Path) -> None:
    pid = process_id(embedded.start())
    password = (directory / "password").read_bytes()
    parent = Path(f"/proc/{pid}/status").read_text().split("PPid:\t")[1].split("\n")[0]
    assert all(password not in Path(f"/proc/{process}/cmdline").read_bytes() for process in (pid, parent))


def test_a_second_user_joins_and_the_server_stays_until_the_last_has_gone(
    embedded: EmbeddedRedis, directory: Path
) -> None:
    first_url = embedded.start()
    second = EmbeddedRedis(directory)
    assert second.start() == first_url
    pid = process_id(first_url)
    embedded.close()
    assert process_id(first_url) == pid
    second.close()
    wait_until_stopped(directory)
    assert not Path(f"/proc/{pid}").exists()


def test_what_was_written_is_there_after_a_restart(embedded: EmbeddedRedis) -> None:
    with client(embedded.start()) as connection:
        connection.set("kept", "yes")
    embedded.close()
    with client(embedded.start()) as connection:
        assert connection.get("kept") == b"yes"


def test_the_server_ends_with_an_only_user_that_was_killed(directory: Path) -> None:
    process, url = user_process(directory)
    pid = process_id(url)
    end(process)
    wait_until_stopped(directory)
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_user_takes_nothing_from_another(embedded: EmbeddedRedis, directory: Path) -> None:
    process, url = user_process(directory)
    pid = process_id(url)
    embedded.start()
    end(process)
    assert process_id(url) == pid


def test_a_crashed_server_is_started_again_with_its_data(embedded: EmbeddedRedis) -> None:
    url = embedded.start()
    with client(url) as connection:
        connection.set("kept", "yes")
    pid = process_id(url)
    kill(pid)
    assert embedded.start() == url
    with client(url) as connection:
        assert connection.get("kept") == b"yes"
    assert process_id(url) != pid


def test_the_server_ends_with_its_guard_and_start_brings_both_back(embedded: EmbeddedRedis, directory: Path) -> None:
    pid = process_id(embedded.start())
    guard = int(Path(f"/proc/{pid}/status").read_text().split("PPid:\t")[1].split("\n")[0])
    kill(guard)
    wait_until_stopped(directory)
    assert process_id(embedded.start()) != pid


@pytest.mark.parametrize("is_port_given", [False, True])
def test_a_path_too_long_for_a_socket_takes_a_loopback_port(tmp_path: Path, is_port_given: bool) -> None:
    directory = tmp_path / ("x" * MAX_SOCKET_PATH_BYTES)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = EmbeddedRedis(directory, port=port if is_port_given else None)
    try:
        url = user.start()
        assert url.split("@")[1].startswith("127.0.0.1:")
        assert not is_port_given or url.endswith(f":{port}/0")
        with client(url) as connection:
            assert connection.ping()
    finally:
        user.close()


def test_a_folder_with_quotes_and_spaces_serves_like_any_other(tmp_path: Path) -> None:
    user = EmbeddedRedis(tmp_path / 'it\'s "mine" \\ #1')
    try:
        with client(user.start()) as connection:
            assert connection.ping()
    finally:
        user.close()


def test_a_server_that_was_stopped_and_continued_still_ends_with_its_last_user(
    embedded: EmbeddedRedis, directory: Path
) -> None:
    pid = process_id(embedded.start())
    for number in (signal.SIGSTOP, signal.SIGCONT):
        os.kill(pid, number)
    embedded.close()
    wait_until_stopped(directory)
    assert not Path(f"/proc/{pid}").exists()
