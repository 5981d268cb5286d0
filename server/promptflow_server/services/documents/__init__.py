"""What the server hands out as it is: OpenAPI from the bundle, and a page that shows it.

`servicer` answers the paths that `gateway.documents` gives to the edge; `page/` is the page, whose library comes from
the package `swagger-ui-py`.
"""

from promptflow_server.services.documents.servicer import document_handlers

__all__ = ["document_handlers"]
