"""What a server and a worker must agree on, and nothing else. Never does I/O.

types       the value types of the flow language and of executor outputs
type_syntax types as YAML spells them
coercion    values made to fit a type
defaults    what stands in for what is absent
values      native values (files, timestamps, ...) and their msgpack form
modeling    pydantic models as value types, and back to native values
errors      the closed list of failure reasons, and errors as records that travel
executor    the API that executors implement
registry    executors found by entry point or import path
retry       retry policy and back-off
records     calls, call results, steps, events and executions as they are stored
keys        every Redis key, spelled once
settings    what a process reads from its environment
"""
