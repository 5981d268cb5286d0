"""What `up` serves: the flows of its project, whatever was published into its Redis before."""

from __future__ import annotations

import asyncio

from promptflow_codegen.bundle import Bundle, BundleError
from promptflow_codegen.pack import pack, unpack
from promptflow_core.settings import Settings
from promptflow_server.bundles.replacing import what_breaks
from promptflow_server.cli.failures import CommandError
from promptflow_server.store.bundles import BundleStore
from promptflow_workers.dispatch.link import Link


async def install_bundle(bundle: Bundle, redis_url: str, settings: Settings, *, is_shared: bool) -> None:
    """Make a bundle the published one before any server of ours is there.

    Where the Redis is ours alone, that is all; where it `is_shared`, other servers follow too, so that what would break
    their clients is refused.

    Raises:
        CommandError: it would break clients of other servers.
        FlowError: STORE_UNAVAILABLE.
    """
    packed = await asyncio.to_thread(pack, bundle)
    async with Link(redis_url) as link:
        store = BundleStore(link, keep_s=settings.keep_finished_s)
        if not is_shared:
            await store.install(bundle.digest, packed)
            return
        before = await store.current()
        served = await store.get(before) if before not in (None, bundle.digest) else None
        if served is not None:
            await asyncio.to_thread(_require_compatible, served, bundle)
        await store.publish(bundle.digest, packed, before=before)


def _require_compatible(served: bytes, bundle: Bundle) -> None:
    try:
        breaks = list(what_breaks(unpack(served), bundle, may_drop_flows=False))
    except BundleError as error:
        raise CommandError(f"other servers on this Redis serve what this release does not read: {error}") from None
    if breaks:
        listed = "\n".join(f"  {each.field}: {each.description}" for each in breaks)
        raise CommandError(
            "other servers may be on this Redis, and their clients would break; use a Redis of your own, or publish "
            f"what does not break them:\n{listed}"
        )
