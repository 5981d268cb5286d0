"""Drives runs. Everything that must be right under crashes and races is decided in `machine`, without I/O.

An attempt is recorded before it is put, a result before it is acknowledged, and only the holder of a run's epoch writes
it: so a step is recorded once, whatever dies. A step that had begun may run again, under the same call id. A flow that
a step runs is a nested part of the same run: a frame, whose steps have the paths `call/inner`.

interface         what the services ask of the engine
runner            FlowEngine: starts runs, drives those that this process is given, sweeps
driver            RunDriver: one run; turn, commit, perform
machine           (state, events) -> (state, commit, commands): the rules
attempts          of steps and items: begun, completed, failed, tried again; a call, or a flow
fan_out           steps that run once for each item of a list
beginning         what attempts begin with: a call, or the frame of a flow
callee_inputs     what a step gives to the flow that it runs
step_records      the records of steps, each turn's made from the last without a copy
draft             the next state while a turn makes it
ending            how a run or a part of it ends before its time
run_state         a run as the machine sees it: frames, what is live in them
program           a flow with its templates and all flows below it
progress          how far a run is
transitions       the machine's events and commands
scope             what templates see
templates         TemplateEngine: the templates of a plan, compiled once
template_budget   what one template may spend
template_costs    what filters, tests and methods cost
template_misses   what a template says about values that are not there
executor          StepExecutor: one call, run where it belongs
inline            executors inside the server
pools             calls to worker pools
file_sweep        removes the files of runs that are forgotten
watching          how watchers hear of a run
outages           going on after Redis was away
"""
