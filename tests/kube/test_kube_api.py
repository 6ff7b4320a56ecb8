"""The harness's own client of the API server leaves no object, whatever state the server is in."""

import asyncio
import contextlib
from pathlib import Path

from tests.support.controlplane import ControlPlane
from tests.support.kube_api import KubeApi


async def test_what_was_broken_off_is_closed_before_the_client_ends_even_if_the_server_hangs(
    control_plane: ControlPlane, namespace: str
):
    """A watch and a request, both cancelled: TLS would wait for a farewell from a server that says nothing."""
    before, pods = sockets(), f"/api/v1/namespaces/{namespace}/pods"
    try:
        async with KubeApi(
            url=control_plane.url, token=control_plane.admin_token, ca_file=control_plane.ca_file
        ) as api:
            listed = asyncio.Event()
            watching = asyncio.create_task(watch(api, pods, listed), name="watch")
            await listed.wait()
            control_plane.pause("kube-apiserver")
            asking = asyncio.create_task(api.request("GET", pods), name="request")
            async with asyncio.timeout(10):
                while len(sockets() - before) < 2:
                    await asyncio.sleep(0.01)
            for task in (watching, asking):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        assert sockets() - before == set()
    finally:
        control_plane.resume("kube-apiserver")


async def watch(api: KubeApi, path: str, listed: asyncio.Event) -> None:
    async for _ in api.follow(path):
        listed.set()


def sockets() -> set[str]:
    """The sockets that this process has open, by the kernel's numbers."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(one.readlink()))
    return {one for one in found if one.startswith("socket:")}
