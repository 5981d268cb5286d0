"""The gateway: Envoy in front of the servers, told what to serve by files. Never names a flow.

`envoy.yaml` at the root of the repository is the one source of its settings; what differs between running instances is
put in by `config`, what the flows are arrives by `xds`.

envoy      the binary, and its verdict on a configuration
config     envoy.yaml with the ports and paths of one instance
twins      the descriptor set as HTTP sees it: twins over HttpBody where a body carries inputs or an answer streams
documents  the paths of OpenAPI and of the page that shows it
edge       what one server's Envoy is given, and whether it took it
xds        the transcoder's configuration on disk: checked first, then replaced by rename
no_flows/  what the transcoder begins with where nothing was generated, so that envoy.yaml validates alone
"""
