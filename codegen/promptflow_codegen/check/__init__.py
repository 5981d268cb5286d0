"""Everything that can be wrong in a flow, found at once. Never raises for what a file says, never does I/O.

flow         one flow against a catalogue of executors: the entry point
inputs       inputs: constraints, defaults, names
steps        steps: executor, config, condition, for_each
outputs      outputs and their types
templates    one value that may hold templates, against what it may read and what it should be
scope        what a template can read, and the types of it
fit          whether a value of one type can be one of another
shapes       types that messages can carry
graph        which step needs which, in what order they run, cycles
"""

from promptflow_codegen.check.flow import check_flow

__all__ = ["check_flow"]
