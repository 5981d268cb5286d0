"""The gRPC services: messages in, engine calls, messages out. They hold no state of a run and never touch Redis.

Everything follows from a bundle: message classes come from its descriptors, never from generated modules, and no
module here names a flow.

contracts      flows as messages: the pool, and each flow's message classes
codec          messages as native values and back, by descriptors alone
json_values    documents of `json` fields
requests       requests parsed and held against their annotations; read masks
callee_checks  what steps give to the flows that they run, held against annotations too
submission     what a caller asks of Execute: read, checked whole, every mistake told at once
admission      from a checked order to a recorded run: id, files, start
patience       how long a caller waits for a start or a look
batches        many requests in one call
planning       what a request would run, told without running it
plan_values    rendered values as a plan shows them
executions     the runs of one flow, whatever the transport
event_feed     events of a run, with heartbeats and `done` last
views          records as `Execution` and `Event`
compression    which answers are packed
errors         failures as google.rpc.Status
interceptor    the border: every exception leaves as a status
flow_servicer  the gRPC methods of one flow
documents/     OpenAPI from the bundle, and the page that shows it
http_face/     the twins that read HTTP bodies and write HTTP streams
execution_service  the runs of all flows, in pages
flow_health    what CheckHealth answers
flow_info      what GetInfo answers
reflection     server reflection, v1 and v1alpha
serving_status grpc.health.v1
flow_service   FlowService: which flows are served, how others take their place
run_views      runs as messages, each by the contract of the bundle that it began with
all_services   all of it, ready to be put on a server
"""
