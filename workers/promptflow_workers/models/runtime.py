"""onnxruntime sessions: the right distribution, the right device, weights left where they lie."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from promptflow_core.errors import FlowError, Reason
from promptflow_workers.models.cache import UnfitError, check_content
from promptflow_workers.models.locate import Model
from promptflow_workers.models.schema import MANIFEST

CPU_DISTRIBUTION, GPU_DISTRIBUTION = "onnxruntime", "onnxruntime-gpu"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

_EXTRAS = "install `promptflow-grpc[cpu]` or `promptflow-grpc[gpu]`"


class RunOptions(Protocol):
    """What we use of onnxruntime's RunOptions: `terminate` ends the run before its next node."""

    terminate: bool
    log_severity_level: int


class Session(Protocol):
    """What we use of onnxruntime's InferenceSession; `run` may be called by many threads."""

    def run(self, output_names: None, feeds: Mapping[str, Any], options: RunOptions) -> list[Any]:
        """All outputs, as arrays."""
        ...

    def get_providers(self) -> list[str]:
        """What really runs it, the preferred first."""
        ...


def check_onnxruntime() -> str:
    """The distribution that provides onnxruntime; its GPU build is taken for the wish to use a GPU.

    Raises:
        FlowError: MODEL_UNAVAILABLE, none is installed, or both: they overwrite each other's files.
    """
    installed = [name for name in (CPU_DISTRIBUTION, GPU_DISTRIBUTION) if _is_installed(name)]
    if len(installed) == 1:
        return installed[0]
    if installed:
        message = (
            f"{' and '.join(installed)} are both installed and overwrite each other; "
            f"uninstall both, then {_EXTRAS}, not both"
        )
    else:
        message = f"onnxruntime is not installed; {_EXTRAS}"
    raise FlowError(Reason.MODEL_UNAVAILABLE, message)


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def open_session(model: Model, weights_dir: Path, *, threads: int) -> Session:
    """Load the graph of a model; its weights are mapped from `weights_dir`, where they stay. Blocks.

    Raises:
        FlowError: MODEL_UNAVAILABLE, the graph is not the manifest's, onnxruntime refuses it, or the GPU build finds no
            GPU.
    """
    distribution = check_onnxruntime()
    # The import takes a third of a second and fails where nothing is installed.
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights_dir))
    providers = [CPU]
    if distribution == GPU_DISTRIBUTION:
        if CUDA not in runtime.get_available_providers():
            raise _no_gpu()
        runtime.preload_dlls()
        providers.insert(0, CUDA)
    try:
        session: Session = runtime.InferenceSession(_read_graph(model), options, providers=providers)
    except _errors_of(runtime) as error:
        message = f"onnxruntime refuses model `{model.manifest.name}`: {error}"
        raise FlowError(Reason.MODEL_UNAVAILABLE, message) from error
    # onnxruntime falls back to the CPU without an error.
    if providers[0] not in session.get_providers():
        raise _no_gpu()
    return session


def new_run_options() -> RunOptions:
    """Options of one run, by which another thread can end it."""
    options: RunOptions = import_module("onnxruntime").RunOptions()
    # A run that is ended on purpose is no error to log.
    options.log_severity_level = 4
    return options


def _no_gpu() -> FlowError:
    message = f"{GPU_DISTRIBUTION} finds no GPU that it can use; install `promptflow-grpc[cpu]` for this machine"
    return FlowError(Reason.MODEL_UNAVAILABLE, message)


def _read_graph(model: Model) -> bytes:
    path = model.folder / model.manifest.graph.file
    try:
        check_content(path, model.manifest.graph)
    except UnfitError as error:
        raise FlowError(Reason.MODEL_UNAVAILABLE, f"`{path}` is not what `{MANIFEST}` says: {error}") from None
    return path.read_bytes()


def _errors_of(runtime: ModuleType) -> tuple[type[Exception], ...]:
    # They share no base class but Exception.
    state: Any = runtime.capi.onnxruntime_pybind11_state
    found: list[object] = [getattr(state, name) for name in dir(state)]
    return tuple(item for item in found if isinstance(item, type) and issubclass(item, Exception))


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
