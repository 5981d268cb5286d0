"""From the model to text: pure functions, one per kind of file, the same text for the same model. What programs make is
asked for and tidied up here; `compile` and `languages` run them.

proto          the proto3 file of one flow
schema         the JSON Schema of flow files, for editors
openapi/       OpenAPI of everything that has a REST path
stubs          Python modules of the messages and services; descriptors as clients need them
client_model   what the typed clients of all languages say of a flow
python_client  the typed Python client of a flow; python_types its types, python_index the client of all flows
python_sync    the same without asyncio, of the text of that; async_class an asynchronous class, read and rewritten
go_client      the typed Go client; go_types its types, go_names where things lie in a module, go_stubs its messages
ts_client      the typed TypeScript client; ts_types its types, ts_stubs its messages
"""
