"""Executors by name, found through the entry points `promptflow.executors` or by import path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from promptflow_core.executor import BaseExecutor, Catalog, ExecutorSpec
from promptflow_core.modeling import object_type_of

ENTRY_POINTS = "promptflow.executors"

ExecutorClass = type[BaseExecutor[Any, Any]]


class ExecutorRegistry:
    """The executor classes of this installation. Importing them is cheap; their models load in `start`."""

    def __init__(self, classes: Iterable[ExecutorClass]) -> None:
        self._classes: dict[str, ExecutorClass] = {}
        for cls in classes:
            if cls.name in self._classes:
                raise ValueError(f"two executors are called {cls.name!r}: {self._classes[cls.name]!r} and {cls!r}")
            if not _can_run(cls):
                raise ValueError(f"executor {cls.name!r} overrides neither `execute` nor `execute_batch`: {cls!r}")
            self._classes[cls.name] = cls

    @classmethod
    def load(cls, import_paths: Iterable[str] = ()) -> ExecutorRegistry:
        """Collect the entry points, then `import_paths`, each `module:Class`.

        Raises:
            ValueError: two executors share a name, one cannot run, or a path is not `module:Class`.
            ImportError: a module or class cannot be imported.
        """
        found: list[ExecutorClass] = [entry.load() for entry in entry_points(group=ENTRY_POINTS)]
        return cls([*found, *(_import(path) for path in import_paths)])

    def __getitem__(self, name: str) -> ExecutorClass:
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def for_queue(self, queue: str | None) -> Mapping[str, ExecutorClass]:
        """The executors of one pool; None: those that run inside the server."""
        return {name: cls for name, cls in self._classes.items() if cls.queue == queue}

    @property
    def queues(self) -> frozenset[str]:
        """The pools that some executor needs."""
        return frozenset(cls.queue for cls in self._classes.values() if cls.queue is not None)

    def catalog(self) -> Catalog:
        """What the generator needs to know of each executor, sorted by name."""
        return {name: _spec_of(self._classes[name]) for name in sorted(self._classes)}


def _can_run(cls: ExecutorClass) -> bool:
    """Those of `BaseExecutor` only call each other."""
    base: ExecutorClass = BaseExecutor
    return cls.execute is not base.execute or cls.execute_batch is not base.execute_batch


def _spec_of(cls: ExecutorClass) -> ExecutorSpec:
    return ExecutorSpec(
        name=cls.name,
        description=(cls.__doc__ or "").strip().split("\n")[0],
        queue=cls.queue,
        batch=cls.batch,
        config=object_type_of(cls.Config),
        output_type=cls.output_type,
        models=cls.models(),
    )


def _import(path: str) -> ExecutorClass:
    module, _, attribute = path.partition(":")
    if not attribute:
        raise ValueError(f"executor path {path!r} is not `module:Class`")
    loaded: ExecutorClass = getattr(import_module(module), attribute)
    return loaded
