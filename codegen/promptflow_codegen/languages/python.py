"""The Python package of a project's flows: messages, a typed client, asynchronous and blocking."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from promptflow_codegen.emit.client_model import client_root
from promptflow_codegen.emit.python_client import emit_clients
from promptflow_codegen.emit.python_index import attribute_of
from promptflow_codegen.emit.python_types import identifier
from promptflow_codegen.emit.stubs import emit_stubs
from promptflow_codegen.languages.language import ClientPackage, ClientSource, LanguageError, MissingTool, Tools
from promptflow_codegen.languages.readme import encoded, example_flow, example_inputs, flow_rows
from promptflow_codegen.languages.sample import Notation
from promptflow_codegen.naming import CLIENT_MODULES
from promptflow_codegen.plan import FlowPlan
from promptflow_core.types import EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

RUNTIME = "promptflow-grpc-client>=0.1,<0.2"
"""What generated packages stand on: the runtime, and the messages of `promptflow_api.v1`."""


class PythonLanguage:
    """Needs no tool: protoc comes with PromptFlow."""

    name = "python"

    def find_tools(self) -> Tools | MissingTool:
        """Nothing to find."""
        return {}

    def generate(self, source: ClientSource, _tools: Tools, /) -> ClientPackage:
        """Import root and distribution are named by the package of the flows: `acme.flows` is `acme`, `acme-flows`."""
        package = source.project.flows_package
        _check_names(source.plans, package)
        files = {**emit_stubs(source.descriptors, package), **emit_clients(source.plans)}
        seeds = {"pyproject.toml": _pyproject(source, needed_versions(files)), "README.md": _readme(source)}
        return ClientPackage(encoded(files), encoded(seeds))


def needed_versions(modules: Mapping[str, str]) -> Mapping[str, tuple[int, ...]]:
    """The least `grpcio` and `protobuf` with which generated modules can be imported; older ones they refuse."""
    found: dict[str, tuple[int, ...]] = {}
    for text in modules.values():
        for name, pattern in _VERSIONS.items():
            if match := pattern.search(text):
                found[name] = max(found.get(name, ()), tuple(int(part) for part in re.findall(r"\d+", match[1])))
    return found


_VERSIONS = {
    "grpcio": re.compile(r"^GRPC_GENERATED_VERSION = '([\d.]+)'", re.MULTILINE),
    "protobuf": re.compile(r"ValidateProtobufRuntimeVersion\(\s*\S+,\s*(\d+,\s*\d+,\s*\d+)"),
}


def _check_names(plans: Sequence[FlowPlan], package: str) -> None:
    if client_root(package) != package:
        return
    for plan in plans:
        if plan.name in CLIENT_MODULES:
            raise LanguageError(
                f"the flow `{plan.name}` and the module `{package}.{plan.name}` of the Python client have one name; "
                f"rename the flow, or set `package: {package}.flows` in promptflow.yaml"
            )


def _distribution(package: str) -> str:
    return package.replace(".", "-").replace("_", "-")


def _pyproject(source: ClientSource, versions: Mapping[str, tuple[int, ...]]) -> str:
    package = source.project.flows_package
    least = {name: ".".join(map(str, version)) for name, version in versions.items()}
    needed = [f"grpcio>={least['grpcio']}", RUNTIME, f"protobuf>={least['protobuf']},<{versions['protobuf'][0] + 1}"]
    dependencies = "".join(f"  {json.dumps(each)},\n" for each in needed)
    names = ", ".join(f"`{plan.name}`" for plan in source.plans)
    return f"""\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = {json.dumps(_distribution(package))}
version = "0.1.0"
description = {json.dumps(f"Typed client of the flows {names}")}
readme = "README.md"
requires-python = ">=3.11"
dependencies = [
{dependencies}]
classifiers = ["Framework :: AsyncIO", "Typing :: Typed"]

[tool.hatch.build.targets.wheel]
packages = [{json.dumps(package.partition(".")[0])}]
"""


def _readme(source: ClientSource) -> str:
    package = source.project.flows_package
    root, plan = client_root(package), example_flow(source.plans)
    inputs = example_inputs(plan)
    arguments = ", ".join(
        f"{identifier(field.name, ('timeout', 'options'))}={_NOTATION.sample(field)}" for field in inputs
    )
    call = f"pf.{attribute_of(plan)}.run({arguments})"
    imports = sorted({_IMPORTS[kind] for field in inputs for kind in _kinds(field.type) if kind in _IMPORTS})
    extra = "".join(f"{line}\n" for line in imports)
    return f"""\
# {_distribution(package)}

Typed Python client of these flows:

| flow | what it does |
| --- | --- |
{flow_rows(source.plans)}

```python
import asyncio
{extra}
from {root}.client import PromptFlow


async def main() -> None:
    async with PromptFlow("localhost:50051") as pf:
        print(await {call})


asyncio.run(main())
```

The same without `asyncio`:

```python
{extra}from {root}.sync import PromptFlow

with PromptFlow("localhost:50051") as pf:
    print({call})
```

Streams, handles, errors, keys and TLS are those of `promptflow-grpc-client`; its README shows them.
`promptflow generate --lang python` writes what is in `{package.partition(".")[0]}/` anew.
The rest is yours: edit it, and add a licence.
"""


_IMPORTS = {
    Kind.TIMESTAMP: "from datetime import UTC, datetime",
    Kind.DURATION: "from datetime import timedelta",
}


def _kinds(value_type: ValueType) -> Sequence[Kind]:
    match value_type:
        case ScalarType(scalar=kind):
            return [kind]
        case ObjectType(fields=fields):
            return [kind for field in fields if field.required for kind in _kinds(field.type)]
        case ListType(element=inner) | MapType(value=inner):
            return _kinds(inner)
        case EnumType():
            return []


_NOTATION = Notation(
    scalars={
        Kind.STRING: '"Hello"',
        Kind.BOOLEAN: "True",
        Kind.BYTES: 'b"Hello"',
        Kind.FILE: '"page.jpg"',
        Kind.TIMESTAMP: "datetime.now(UTC)",
        Kind.DURATION: "timedelta(seconds=1)",
        Kind.JSON: '{"key": 1}',
    },
    key=json.dumps,
)
