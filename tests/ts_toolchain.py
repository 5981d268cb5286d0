"""Node, npm and the TypeScript client, found, installed and built once per session for all tests that need them.

`python -m tests.ts_toolchain` writes the generated modules of the client anew.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.emit.stubs import client_descriptors
from promptflow_codegen.emit.ts_client import emit_ts
from promptflow_codegen.emit.ts_stubs import RUNTIME, contract_paths
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.language import ClientSource, Tools
from promptflow_codegen.languages.tools import NODE_PACKAGE, find_node, find_ts_plugin
from promptflow_codegen.languages.typescript import TypeScriptLanguage, generate_ts_stubs
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "clients" / "ts"
INSTALL_S = 240.0


@functools.cache
def node() -> Path:
    """Node on PATH, else the one of the development environment."""
    found = find_node()
    assert found is not None, f"there is no Node; install it, or run `pip install {NODE_PACKAGE}`"
    return found


def environment() -> Mapping[str, str]:
    """Programs that npm starts find Node by PATH."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}


def run(command: Sequence[str | Path], cwd: Path, timeout_s: float = 60.0) -> str:
    """Run a program; what it wrote, which a failure shows."""
    text = [str(part) for part in command]
    done = subprocess.run(text, cwd=cwd, env=environment(), capture_output=True, timeout=timeout_s, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, f"`{' '.join(text)}` ended with {done.returncode}:\n{said[-8000:]}"
    return said


def install(folder: Path) -> None:
    """What the lock of a folder names, unless it is there already."""
    digest = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    if not stamp.exists() or stamp.read_text("utf-8") != digest:
        run([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder, INSTALL_S)
        stamp.write_text(digest, "utf-8")


def compile_ts(config: Path) -> None:
    """Type-check and compile a project; any diagnostic is a failure."""
    compiler = CLIENT / "node_modules" / "typescript" / "bin" / "tsc"
    run([node(), compiler, "-p", config], config.parent, 120.0)


@functools.cache
def built_client() -> Path:
    """The folder of the client, installed and built, its tests and examples too."""
    install(CLIENT)
    shutil.rmtree(CLIENT / "dist", ignore_errors=True)
    compile_ts(CLIENT / "tsconfig.json")
    compile_ts(CLIENT / "tsconfig.test.json")
    compile_ts(CLIENT / "tsconfig.examples.json")
    return CLIENT


def tools() -> Tools:
    """Node, and the installed plugin."""
    install(CLIENT)
    plugin = find_ts_plugin(CLIENT)
    assert plugin is not None
    return {"node": node(), "protoc-gen-es": plugin}


def flow_sources(descriptors: FileDescriptorSet, plans: Sequence[FlowPlan], project: Project) -> Mapping[str, str]:
    """The package of a project's flows, as its users get it: path in the folder of sources to text."""
    source = ClientSource(project, client_descriptors(descriptors), tuple(plans))
    files = TypeScriptLanguage().generate(source, tools()).files
    return {path.removeprefix("src/"): data.decode() for path, data in files.items()}


def shipped_modules(catalog: Catalog) -> Mapping[str, str]:
    """What the client's `src/gen` holds: the contract's messages, and the shipped flows."""
    project = Project.at(ROOT)
    made = generate(project, catalog)
    assert made.bundle is not None, "\n".join(map(str, made.diagnostics))
    source = ClientSource.of(project, made.bundle)
    paths = [*contract_paths(source.descriptors), *source.flow_files]
    stubs = generate_ts_stubs(source.descriptors, paths, tools(), is_runtime=True)
    return {**stubs, **emit_ts(source.descriptors, source.plans, project.flows_package)}


def write_package(folder: Path, sources: Mapping[str, str]) -> Path:
    """Sources as a package beside the built client; the configuration that compiles it, as strict as can be."""
    client = built_client()
    for path, text in sources.items():
        target = folder / "src" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    modules = folder / "node_modules"
    modules.mkdir(exist_ok=True)
    for name, place in {RUNTIME: client, "@bufbuild": client / "node_modules/@bufbuild"}.items():
        if not (modules / name).exists():
            (modules / name).symlink_to(place, target_is_directory=True)
    (folder / "package.json").write_text('{"name": "flows-of-a-test", "type": "module"}\n', "utf-8")
    config = folder / "tsconfig.json"
    options = f'"rootDir": "src", "outDir": "dist", "skipLibCheck": true, "typeRoots": ["{client}/node_modules/@types"]'
    config.write_text(
        f'{{"extends": "{client}/tsconfig.json", "compilerOptions": {{{options}}}, "include": ["src"]}}\n', "utf-8"
    )
    return config


def npm() -> Sequence[str | Path]:
    """How npm is started."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    bundled = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    assert bundled.exists(), f"there is no npm beside {node()}; run `pip install {NODE_PACKAGE}`"
    return [node(), bundled]


CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What Chromium needs where it may be root and must reach nothing but what a test names."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium(folder: Path) -> tuple[Path, Mapping[str, str]]:
    """A Chromium on PATH, else the one of an npm package, unpacked into `folder`; and the environment that it needs."""
    for name in _BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return Path(found), environment()
    package = CLIENT / "chromium"
    install(package)
    done = subprocess.run(
        [node(), "find.mjs"],
        cwd=package,
        env={**environment(), "TMPDIR": str(folder)},
        capture_output=True,
        timeout=120,
        check=False,
    )
    found_at = done.stdout.decode().strip()
    assert done.returncode == 0 and Path(found_at).exists(), (
        f"there is no Chromium on PATH ({', '.join(_BROWSERS)}), and the one of the npm package cannot be unpacked: "
        f"{done.stderr.decode()}; install one, such as Debian's `chromium`"
    )
    return Path(found_at), {**environment(), "LD_LIBRARY_PATH": str(folder / "al2023" / "lib")}


def _write_shipped() -> None:
    folder = CLIENT / "src" / "gen"
    expected = shipped_modules(ExecutorRegistry.load().catalog())
    for path in folder.rglob("*.ts"):
        if path.relative_to(folder).as_posix() not in expected:
            path.unlink()
    for name, text in expected.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    _write_shipped()
