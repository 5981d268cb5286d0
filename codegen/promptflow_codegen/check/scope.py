"""What a template can read: inputs, steps, system, the current item; and the type that each path leads to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from promptflow_codegen.template_syntax import Read, nearest
from promptflow_core.types import (
    SCALARS,
    EnumType,
    FieldType,
    Kind,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
    spelling,
)

SYSTEM = ObjectType(
    (
        FieldType("execution_id", SCALARS["string"]),
        FieldType("flow", SCALARS["string"]),
        FieldType("version", SCALARS["integer"]),
        FieldType("started_at", SCALARS["timestamp"]),
    )
)
FILE = ObjectType(
    (
        FieldType("file_id", SCALARS["string"]),
        FieldType("content_type", SCALARS["string"]),
        FieldType("name", SCALARS["string"]),
        FieldType("size_bytes", SCALARS["integer"]),
    )
)
_OPEN_KINDS = frozenset({Kind.JSON, Kind.TIMESTAMP, Kind.DURATION})
"""`json` may hold anything; times have attributes of their own (`year`, `days`)."""


class ScopeError(ValueError):
    """A read of something that is not there; `part` is the index of the part of the path that fails."""

    def __init__(self, code: str, message: str, part: int, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.part, self.hint = code, message, part, hint


@dataclass(frozen=True, slots=True)
class Scope:
    """What one template sees. A type None is not known before the run."""

    inputs: ObjectType
    steps: Mapping[str, ValueType | None]
    local: Mapping[str, ValueType | None] = field(default_factory=dict[str, ValueType | None])

    def with_local(self, local: Mapping[str, ValueType | None]) -> Scope:
        """The same with names of a for_each step."""
        return Scope(self.inputs, self.steps, local)

    def type_of(self, read: Read) -> ValueType | None:
        """The type of what is read, None where only the run can tell.

        Raises:
            ScopeError: there is no such thing.
        """
        root = str(read.path[0])
        if root in self.local:
            return _walk(self.local[root], read, 1)
        match root:
            case "inputs":
                return _walk(self.inputs, read, 1)
            case "system":
                return _walk(SYSTEM, read, 1)
            case "steps":
                return self._step(read)
            case _:
                raise self._unknown(root)

    def member(
        self, owner: ValueType | None, key: str | int, offset: int, whose: Read | None = None
    ) -> ValueType | None:
        """The type of a field or item of a value that is computed, or, in other words, of `whose` value it is.

        Raises:
            ScopeError: it has none of that name.
        """
        if owner is None:
            return None
        path = whose.path if whose else ("(…)",)
        return _step_into(owner, Read((*path, key), (offset,) * (len(path) + 1)), len(path))

    def _step(self, read: Read) -> ValueType | None:
        if len(read.path) < 2:
            raise ScopeError("unknown-step", "`steps` is read as a whole", 0, "name the step: `steps.…`")
        name = str(read.path[1])
        if name not in self.steps:
            raise ScopeError("unknown-step", f"there is no step `{name}`", 1, _hint(name, self.steps, "steps"))
        return _walk(self.steps[name], read, 2)

    def _unknown(self, root: str) -> ScopeError:
        if root in ("index", "item"):
            hint = f"`{root}` exists in the config of a `for_each` step; the item may have another name by `as`"
        elif self.inputs.field(root) is not None:
            hint = f"did you mean `inputs.{root}`?"
        elif root in self.steps:
            hint = f"did you mean `steps.{root}`?"
        else:
            roots = ["inputs", "steps", "system", *self.local]
            close = nearest(root, roots)
            hint = f"did you mean `{close}`?" if close else f"templates read {', '.join(roots)}"
        return ScopeError("unknown-name", f"there is no `{root}` here", 0, hint)


def _walk(value_type: ValueType | None, read: Read, first: int) -> ValueType | None:
    for part in range(first, len(read.path)):
        if value_type is None:
            return None
        value_type = _step_into(value_type, read, part)
    return value_type


def _step_into(value_type: ValueType, read: Read, part: int) -> ValueType | None:
    key = read.path[part]
    match value_type:
        case ObjectType() if isinstance(key, str):
            return _field_of(value_type, read, part)
        case ListType(element=element):
            if isinstance(key, int):
                return element
            raise ScopeError("unknown-field", _no_field(value_type, read, part), part, _list_hint(read, part))
        case MapType(value=value) if isinstance(key, str):
            return value
        case ScalarType(scalar=Kind.FILE) if isinstance(key, str):
            return _field_of(FILE, read, part)
        case ScalarType(scalar=kind) if kind in _OPEN_KINDS:
            return None
        case ScalarType(scalar=Kind.STRING) | EnumType() if isinstance(key, int):
            return SCALARS["string"]
        case _:
            raise ScopeError("unknown-field", _no_field(value_type, read, part), part)


def _field_of(owner: ObjectType, read: Read, part: int) -> ValueType:
    name = str(read.path[part])
    found = owner.field(name)
    if found is not None:
        return found.type
    names = [candidate.name for candidate in owner.fields]
    if part == 1 and read.path[0] == "inputs":
        raise ScopeError("unknown-input", f"there is no input `{name}`", part, _hint(name, names, "inputs"))
    raise ScopeError(
        "unknown-field", f"`{shown(read.path[:part])}` has no field `{name}`", part, _hint(name, names, "its fields")
    )


def _no_field(value_type: ValueType, read: Read, part: int) -> str:
    return f"`{shown(read.path[:part])}` is {spelling(value_type)} and has no `{read.path[part]}`"


def _list_hint(read: Read, part: int) -> str:
    path = shown(read.path[:part])
    return f"read one item, `{path}[0].{read.path[part]}`, or all, `{path} | map(attribute='{read.path[part]}')`"


def _hint(name: str, known: Collection[str], what: str) -> str:
    close = nearest(name, known)
    if close:
        return f"did you mean `{close}`?"
    return f"{what}: {', '.join(known)}" if known else ""


def shown(path: tuple[str | int, ...]) -> str:
    """A path as a template spells it."""
    return "".join(_spelled(path))


def _spelled(path: tuple[str | int, ...]) -> Iterator[str]:
    for index, key in enumerate(path):
        if isinstance(key, int):
            yield f"[{key}]"
        else:
            yield f".{key}" if index else key
