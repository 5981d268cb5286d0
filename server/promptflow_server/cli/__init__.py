"""The command line, and with it the composition root: here alone the environment becomes `Settings`.

Nothing heavy is imported before a command needs it. Exit status: 0 done; 1 it failed, with one line that says why and
what to do; 2 the command line itself is wrong; 130 interrupted.

app         the commands and their options
failures    what is expected to go wrong, in a line
environment settings and projects
generating  generate, check
comparing   diff; revision: a project as it was at a git revision; earlier_bundle: the bundle of such a state
diff_formats  the verdict as lines or JSON
languages   generate --lang --out
serving     server, worker
publishing  publish; publish_client: FlowService as it calls it
watching    `up --watch`: each edit published as it is saved
installing  what `up` serves, whatever its Redis served before
weights     models list, pull, verify
up          everything under one supervisor
stack_view  what the parts of a running PromptFlow do, as it happens
run         run a flow through the gateway
sse         server-sent events of an HTTP answer
logs        what a server or a worker writes
shown_run   where a run is, by its events (pure)
run_view    the same, on a terminal or as plain lines
tour        the main job of `up --demo`: a letter read and judged, and its result checked
invitation  commands to copy
"""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line of this process."""
    from promptflow_server.cli.app import app  # noqa: PLC0415  # importing the package costs nothing

    # What a terminal cannot show is shown escaped: a name is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        from promptflow_server.cli.failures import explain  # noqa: PLC0415

        text = explain(error)
        if text is None:
            raise
        sys.stderr.write(f"error: {text}\n")
        sys.exit(1)
