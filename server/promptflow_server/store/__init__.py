"""Runs as they are stored, and the bundles that they pin. Nothing here decides: what a transition is, the engine says.

Every transition is one atomic write, and only the holder of the run's epoch writes; everyone reads.

records  heads, steps and events of runs as msgpack
state    StateManager: create, open, commit, signal, read
run_index  RunIndex: runs by age, for lists
page_tokens  where the next page of a list begins, as callers hand it back
bundles  BundleStore: the bundle that all servers serve, and those that runs pin
lua/     executions.lua, bundles.lua: the functions behind StateManager, run inside Redis
"""
