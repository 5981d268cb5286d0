"""Runs as they are stored. Nothing here decides anything: what a transition is, the engine says.

Every transition is one atomic write, and only the holder of the run's epoch writes; everyone reads.

records  heads, steps and events of runs as msgpack
state    StateManager: create, open, commit, signal, read
lua/     executions.lua: the functions behind StateManager, run inside Redis
"""
