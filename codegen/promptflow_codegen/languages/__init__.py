"""Client packages of a project's own flows, one per language, ready to be published. Nothing here writes or fetches.

A package never carries what PromptFlow publishes itself: the runtime, and the messages of `promptflow_api.v1`. So two
generated packages have no file and no message in common, and live side by side in one program.

language    what every language gives: the protocol, its input and its output
python      the Python package
go          the Go module
typescript  the npm package
registry    the languages by name
tools       where the programs are that they need
readme      what the READMEs of all languages share
sample      an example value in the notation of a language
"""
