"""From the model to text: pure functions, one per kind of file, the same text for the same model.

proto          the proto3 file of one flow
schema         the JSON Schema of flow files, for editors
stubs          Python modules of the messages and services
python_client  the typed Python client
python_sync    the same without asyncio, of the text of that
ts_client      the typed TypeScript client; ts_types its types, ts_stubs the modules of messages, by protoc-gen-es
"""
