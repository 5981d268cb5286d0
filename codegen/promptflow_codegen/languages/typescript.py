"""The npm package of a project's flows: messages by protoc-gen-es, and a typed module per flow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.emit.client_model import client_root
from promptflow_codegen.emit.ts_client import emit_ts, property_of
from promptflow_codegen.emit.ts_stubs import RUNTIME, emit_ts_stubs, ts_stubs_request
from promptflow_codegen.emit.ts_types import property_name
from promptflow_codegen.languages.language import ClientPackage, ClientSource, LanguageError, MissingTool, Tools
from promptflow_codegen.languages.readme import encoded, example_flow, example_inputs, flow_rows
from promptflow_codegen.languages.sample import Notation
from promptflow_codegen.languages.tools import NODE_PACKAGE, TS_PLUGIN_PACKAGE, find_node, find_ts_plugin
from promptflow_codegen.plugins import run_plugin
from promptflow_core.types import Kind

PROTOBUF_VERSION = "^2.13.0"
RUNTIME_VERSION = "^0.1.0"
_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")


class TypeScriptLanguage:
    """Needs Node and protoc-gen-es; protoc itself is not needed."""

    name = "ts"

    def find_tools(self) -> Tools | MissingTool:
        """Node, on the PATH or of a pip package, and the plugin that npm installed here, above or for all."""
        node, plugin = find_node(), find_ts_plugin(Path.cwd())
        if node is None:
            return MissingTool("node", f"install Node (`pip install {NODE_PACKAGE}` brings it)")
        if plugin is None:
            return MissingTool("protoc-gen-es", f"run `npm install --save-dev {TS_PLUGIN_PACKAGE}` in this folder")
        return {"node": node, "protoc-gen-es": plugin}

    def generate(self, source: ClientSource, tools: Tools) -> ClientPackage:
        """The package that the project calls `npm_name`; its sources lie in `src/`."""
        name = _name_of(source)
        stubs = generate_ts_stubs(source.descriptors, source.flow_files, tools)
        modules = {**stubs, **emit_ts(source.descriptors, source.plans, source.project.flows_package)}
        seeds = {
            "package.json": _manifest(source, name),
            "tsconfig.json": _config(),
            "README.md": _readme(source, name),
        }
        return ClientPackage(encoded({f"src/{path}": text for path, text in modules.items()}), encoded(seeds))


def generate_ts_stubs(
    files: FileDescriptorSet, paths: Sequence[str], tools: Tools, *, is_runtime: bool = False
) -> Mapping[str, str]:
    """Modules of messages, by path (`emit.ts_stubs`).

    Raises:
        PluginError: the plugin refuses.
    """
    command = [tools["node"], tools["protoc-gen-es"]]
    return emit_ts_stubs(run_plugin(command, ts_stubs_request(files, paths, is_runtime=is_runtime)))


def _name_of(source: ClientSource) -> str:
    name = source.project.npm_name or source.project.flows_package.replace(".", "-").replace("_", "-")
    if not _NAME.fullmatch(name) or len(name) > 214:
        raise LanguageError(f"`npm_name: {name}` in promptflow.yaml is no name of an npm package, such as `@you/flows`")
    if name == RUNTIME:
        raise LanguageError(f"`npm_name: {name}` in promptflow.yaml is the runtime's own name; choose another")
    return name


def _printed(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _manifest(source: ClientSource, name: str) -> str:
    folder = client_root(source.project.flows_package).replace(".", "/")
    below = source.project.flows_package.replace(".", "/")
    flows = ", ".join(f"`{plan.name}`" for plan in source.plans)
    return _printed(
        {
            "name": name,
            "version": "0.1.0",
            "description": f"Typed client of the flows {flows}",
            "type": "module",
            "sideEffects": False,
            "files": ["dist"],
            "exports": {
                ".": {"types": f"./dist/{folder}/client.d.ts", "default": f"./dist/{folder}/client.js"},
                "./flows/*": {"types": f"./dist/{below}/*/client.d.ts", "default": f"./dist/{below}/*/client.js"},
            },
            "scripts": {"build": "tsc -p tsconfig.json", "prepack": "npm run build"},
            "dependencies": {"@bufbuild/protobuf": PROTOBUF_VERSION, RUNTIME: RUNTIME_VERSION},
            "devDependencies": {"typescript": ">=5.8"},
        }
    )


def _config() -> str:
    options = {
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
        "types": [],
        "rootDir": "src",
        "outDir": "dist",
        "declaration": True,
        "strict": True,
        "skipLibCheck": True,
    }
    return _printed({"compilerOptions": options, "include": ["src"]})


def _readme(source: ClientSource, name: str) -> str:
    plan = example_flow(source.plans)
    inputs = ", ".join(f"{property_name(field.name)}: {_NOTATION.sample(field)}" for field in example_inputs(plan))
    call = f"pf.{property_of(plan)}.run({f'{{ {inputs} }}' if inputs else ''})"
    return f"""\
# {name}

Typed TypeScript client of these flows:

| flow | what it does |
| --- | --- |
{flow_rows(source.plans)}

```ts
import {{ PromptFlow }} from "{name}";

const pf = new PromptFlow("localhost:50051");
console.log(await {call});
pf.close();
```

`npm run build` compiles it. Streams, handles, errors, keys and TLS are those of `{RUNTIME}`; its README shows them.
`promptflow generate --lang ts` writes everything in `src/` anew. The rest is yours: edit it, and add a licence.
"""


_NOTATION = Notation(
    scalars={
        Kind.STRING: '"Hello"',
        Kind.BOOLEAN: "true",
        Kind.BYTES: "new Uint8Array([1, 2, 3])",
        Kind.FILE: '"page.jpg"',
        Kind.TIMESTAMP: "new Date()",
        Kind.DURATION: "1000",
        Kind.JSON: "{ key: 1 }",
    },
    key=property_name,
    padding=" ",
)
