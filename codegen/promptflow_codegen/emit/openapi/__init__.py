"""OpenAPI of everything that has a REST path: made from the descriptors that Envoy and the server go by.

`documents` puts a document together from
`annotations` (REST paths and constraints as the descriptor set has them), `schemas` (messages as JSON Schema),
`wording` (what the flow file says about inputs and results), `operations` (methods as operations), `streams` (media
types of answers that stream), `failures` (what every operation may answer instead) and `examples`.
"""

from promptflow_codegen.emit.openapi.documents import OPENAPI, emit_openapi
from promptflow_codegen.emit.openapi.streams import openapi_32

__all__ = ["OPENAPI", "emit_openapi", "openapi_32"]
