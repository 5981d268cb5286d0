"""The twins of methods whose HTTP body carries a flow's inputs or whose HTTP answer streams (see gateway/twins).

Envoy hands them bodies as they came and sends what they write as it is. Nothing here knows a flow but by its contract.

json_text  a body as JSON, read strictly: what two readers could take differently is refused with its position
documents  a JSON document as a submission: shape by a pydantic model per flow, every mistake told
reserved_names  names that a flow has given up, passed over in documents
scalar_forms  how JSON and forms spell scalars
form_parts multipart/form-data as a stream of parts
forms      parts as a submission: files go to the file store as they arrive
bodies     a body by its content type
encodings  a body that came packed
framing    events as Server-Sent Events, NDJSON or a JSON array
servicer   the methods
"""
