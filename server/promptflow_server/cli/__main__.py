"""`python -m promptflow_server.cli`, which is how the supervisor starts its children."""

from promptflow_server.cli import main

main()
