"""Dispatch: calls and runs on their way to those that run them.

Invariant: every change of a queue is one call of one function of `queue.lua`, idempotent, so a command may be sent
again after any loss; a result counts only under the latest token. Nothing here knows executors or models.

- `interface`   what the engine asks of dispatch
- `calls`       calls to worker pools, as a server makes them
- `runs`        runs of flows, handed to servers
- `lane`        a worker's side of one queue: lease, claims, reports
- `queue`       the transitions of one queue, typed; `queue.lua` performs them
- `turns`       what one turn of the loop asks for, sent as one
- `link`        the connections of a process: `commands`, `pushes`, over `wire`; `functions` names Lua libraries
- `clock`       Redis time; `backoff` the waits for a Redis that is away
- `blobs`       the file store
"""
