"""The server and everything that runs beside it. The server holds no state of its own: any replica answers any call.

engine/         runs flows: the pure machine, the runner that performs what it decides, templates
store/          the record of every run in Redis; Lua
services/       the gRPC services, the HTTP twins, reflection, health
app             the server process
bundles/        what is served, and how another bundle takes its place
gateway/        Envoy's configuration
supervisor/     server, workers, Envoy and Redis as children of one process
embedded_redis  a private Redis for one project folder; redis_guard stops it with its last user
cli/            the command `promptflow`, the composition root
"""
