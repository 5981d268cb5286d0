"""The commands and their options. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Project = Annotated[Path, typer.Option("--project", metavar="DIR", help="The folder that has `flows/`.")]
PortBase = Annotated[
    int | None,
    typer.Option(
        "--port-base",
        metavar="N",
        min=1,
        max=65531,
        help="Gateway on N, gRPC on N+1, admin on N+2, metrics on N+3 (else 8080, 50051, 9901, 9902).",
    ),
]
Queues = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        metavar="NAME",
        help="A queue that workers take calls from; may be given again (else sentiment, ocr, general).",
    ),
]
Format = Annotated[
    Literal["text", "json", "github", "sarif"],
    typer.Option("--format", help="How mistakes are told: lines, a JSON document, GitHub's annotations, SARIF 2.1.0."),
]
HERE = Path()

# Plain help and plain tracebacks: the rich ones cost a third of the start-up time.
app = typer.Typer(
    name="promptflow",
    help="A YAML flow in, a typed streaming API out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models = typer.Typer(help="The weights of the models.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models, name="models")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"promptflow {version('promptflow-grpc')}")
        raise typer.Exit


@app.callback()
def promptflow(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """A YAML flow in, a typed streaming API out."""


@app.command()
def generate(
    project: Project = HERE,
    form: Format = "text",
    lang: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Languages to write client packages for as well: python, go, ts."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the client packages, one each: `DIR/python`, ….")
    ] = None,
) -> None:
    """Write protos, locks, stubs and the bundle."""
    if (lang is None) != (out is None):
        raise typer.BadParameter("client packages need both", param_hint="--lang and --out")
    from promptflow_codegen.diagnostics_formats import DiagnosticsFormat  # noqa: PLC0415

    if lang is not None and out is not None:
        from promptflow_server.cli.languages import languages_command  # noqa: PLC0415

        languages_command(project, lang, out, DiagnosticsFormat(form))
        return
    from promptflow_server.cli.generating import generate_command  # noqa: PLC0415

    generate_command(project, DiagnosticsFormat(form))


@app.command()
def check(project: Project = HERE, form: Format = "text") -> None:
    """Find mistakes in flows, and generated files that are old."""
    from promptflow_codegen.diagnostics_formats import DiagnosticsFormat  # noqa: PLC0415
    from promptflow_server.cli.generating import check_command  # noqa: PLC0415

    check_command(project, DiagnosticsFormat(form))


@app.command()
def diff(
    revision: Annotated[str, typer.Argument(metavar="REF", help="A branch, tag or commit.")],
    project: Project = HERE,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="Lines, or a JSON document.")] = "text",
) -> None:
    """Say what an edit means to clients: the flows here beside those of a git revision.

    Status 1 if a client that is out would notice; 0 if none would, even where runs do something else.
    """
    from promptflow_server.cli.comparing import diff_command  # noqa: PLC0415
    from promptflow_server.cli.diff_formats import DiffFormat  # noqa: PLC0415

    diff_command(project, revision, DiffFormat(form))


@app.command()
def up(  # noqa: PLR0913, PLR0917 - an option each
    project: Project = HERE,
    demo: Annotated[bool, typer.Option("--demo", help="Read a letter with the flow `document_insight` first.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop after the demo; status 0 if its result is right.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many worker processes.")] = 1,
    queue: Queues = None,
    port_base: PortBase = None,
    host: Annotated[str, typer.Option(help="The address that the gateway listens on.")] = "127.0.0.1",
    envoy: Annotated[bool, typer.Option("--envoy/--no-envoy", help="Whether the gateway runs too.")] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Publish each edit of a flow as it is saved.")] = False,
) -> None:
    """Run Redis, workers, server and gateway until Ctrl-C."""
    if once and not demo:
        raise typer.BadParameter("it stops after the demo: add `--demo`", param_hint="--once")
    if demo and not envoy:
        raise typer.BadParameter("the demo calls through the gateway: leave `--no-envoy` out", param_hint="--demo")
    from promptflow_server.cli.up import UpOptions, up_command  # noqa: PLC0415

    up_command(
        UpOptions(
            project=project,
            demo=demo,
            once=once,
            workers=workers,
            queues=tuple(queue or ()),
            port_base=port_base,
            host=host,
            with_gateway=envoy,
            is_watching=watch,
        )
    )


@app.command()
def server(
    project: Project = HERE,
    address: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens.")] = "127.0.0.1:50051",
    edge_folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its Envoy reads the transcoder's configuration.")
    ] = None,
    edge_admin: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Envoy's admin interface, which says whether it took it.")
    ] = None,
) -> None:
    """Run one gRPC server.

    It serves the bundle that was published last, and where none was, the project's own.
    """
    from promptflow_server.cli.serving import server_command  # noqa: PLC0415

    server_command(project, address, edge_folder, edge_admin)


@app.command()
def worker(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", metavar="NAME", help="A queue to take calls from; may be given again. All, if none is."
        ),
    ] = None,
    project: Project = HERE,
    slots: Annotated[int, typer.Option(min=1, max=4096, help="How many calls it takes at once, per queue.")] = 16,
) -> None:
    """Run one worker process."""
    from promptflow_server.cli.serving import worker_command  # noqa: PLC0415

    worker_command(project, tuple(queue or ()), slots)


@app.command()
def publish(
    project: Project = HERE,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A gRPC server; all that share its Redis follow.")
    ] = "127.0.0.1:50051",
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would change; write and publish nothing.")
    ] = False,
) -> None:
    """Generate, and have running servers serve it from now on.

    From another machine than the server's it takes `PROMPTFLOW_PUBLISH_TOKEN`, set for both.
    """
    from promptflow_server.cli.publishing import publish_command  # noqa: PLC0415

    publish_command(project, address, is_check=check)


@app.command()
def run(
    flow: Annotated[str, typer.Argument(help="The name of the flow.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="An input; `NAME=@FILE` sends a file.")
    ] = None,
    version: Annotated[int, typer.Option(min=1, help="The major version of the flow.")] = 1,
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://localhost:8080",
) -> None:
    """Run a flow on a running PromptFlow.

    The steps are shown while they run; the result goes to standard output as JSON.
    """
    from promptflow_server.cli.run import run_command  # noqa: PLC0415

    run_command(flow, version, inputs or [], url)


@models.command("list")
def models_list(project: Project = HERE) -> None:
    """Name the models, and whether their weights are here."""
    from promptflow_server.cli.weights import list_command  # noqa: PLC0415

    list_command(project)


@models.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all, if none is named.")] = None,
    project: Project = HERE,
) -> None:
    """Bring weights into the cache; what is there already is not fetched again."""
    from promptflow_server.cli.weights import pull_command  # noqa: PLC0415

    pull_command(project, names or [])


@models.command("verify")
def models_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Models; all, if none is named.")] = None,
    project: Project = HERE,
) -> None:
    """Run models on their own examples, and one by one against in a batch."""
    from promptflow_server.cli.weights import verify_command  # noqa: PLC0415

    verify_command(project, names or [])
