"""Runs the processes of one PromptFlow under one roof: starts them in order, keeps them, stops them in order.

Invariant: no process outlives the supervisor, however it ends; children are tied to its life by the kernel.
Knows processes alone: what PromptFlow's parts are is in `stack`.

ports       the ports of one instance, and who holds them already
part        what is known of a part: its command, its readiness, how it drains
tether      the program that each child begins as, which ties it to the supervisor
child       one running process: its log, its end
restart     when a part that died is started again, and when no more (pure)
keeper      keeps one part running
supervisor  all parts: order of start, order of stop
readiness   probes: a gRPC server, an HTTP answer
signals     the first Ctrl-C asks, the second insists
stack       PromptFlow's own parts: Redis, workers, server, Envoy
"""
