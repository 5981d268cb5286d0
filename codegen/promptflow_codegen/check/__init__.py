"""Everything that can be wrong in a flow, found at once. Never raises for what a file says, never does I/O.

flow         flows against a catalogue of executors and each other: the entry points
inputs       inputs: constraints, defaults, names
steps        steps: executor, config, condition, for_each
outputs      outputs and their types
templates    one value that may hold templates, against what it may read and what it should be
constants    what a step gives to the flow that it runs, without templates
subflows     which flow runs which: what steps can name, an order, cycles, depth
scope        what a template can read, and the types of it
expressions  the type of an expression, and what in it can never work
filter_types what filters and methods yield, and what they cannot work on
calls        calls of filters, tests and methods, held against what these take
attributes   fields that filters look at in each item of a list
comparisons  comparisons whose outcome is known before the run
type_classes kinds of types that operators tell apart
evaluation   parts of templates that read nothing and can only fail
absences     steps that may be skipped and inputs that may not be sent, and what reads them
facts        what holds where a template is rendered, and what follows
declared     values that a config fits to types of its own
fit          whether a value of one type can be one of another
shapes       types that messages can carry
graph        which step needs which, in what order they run, cycles
"""

from promptflow_codegen.check.flow import check_flow, check_flows

__all__ = ["check_flow", "check_flows"]
