"""The workers: processes that claim calls from Redis and run executors on them.

Invariant: a worker never touches an execution. What it has to say goes to the owner of the call, which judges it by
the call's token; a worker may therefore die, stall or run something twice without harm.

- `worker`          the process: executors, files, link, signals
- `queue_worker`    arq's worker over our queues
- `call_runner`     one call: decode, deadline, run, encode
- `executor_host`   one executor: start, validate, batch, encode
- `batcher`         calls merged into batches
- `durable`         what is still there after a power cut
- `dispatch/`       queues over Redis and the file store: the only I/O that servers and workers share
- `models/`         model repository and runtime
- `executors/`      one module per executor
"""
