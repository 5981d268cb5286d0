"""The bundle that this process serves, and how another takes its place while calls go on.

A swap is one reference: calls and streams end on the set that they began with, new ones begin on the new set. What all
servers serve is one digest in Redis (`store.bundles`): it is written in one call, so that a process that dies in the
middle leaves the old one or the new one. Servers hear of it by a push, look by themselves every few seconds, and look
when a method is asked for that they do not have. A server takes what was published before what lies on its own disk;
where nothing was, it serves its own, and sees that Redis has it before it takes calls.

served     Served: one bundle with its handlers; LiveBundle: the one that is served now
archive    bundles that runs began with, from memory, disk or Redis
follower   Follower: brings this process to what was published, and lets go of what nobody needs
publisher  Publisher: from packed bytes to every server, or to a list of reasons why not
acceptance what must hold before a bundle is published: it can be served and run here, and breaks no client
replacing  what clients would notice, were one bundle served instead of another
serving    all of it, put together
on_a_miss  the interceptor that looks for a newer bundle, or an older one, before a method is unknown
"""
