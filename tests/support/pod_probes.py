"""Probes of process-backed pods: one check, and the counting of successes and failures around it.

Owns: `httpGet`, `tcpSocket` and `exec` checks on the pod's own address, thresholds and periods as in the Kubernetes
API. Must not decide what a verdict means; the container does.

The verdict before the first crossed threshold is None, which readiness and start-up read as "not yet" and
liveness as "alive".
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp


async def verdicts(
    probe: Mapping[str, Any], *, address: str, ports: Mapping[str, int], env: Mapping[str, str], pace: float
) -> AsyncIterator[bool]:
    """Yield every verdict of a probe, True for success, each time that a threshold is met; never ends.

    Args:
        probe: a probe of the Kubernetes API.
        address: the pod's.
        ports: container port name -> number.
        env: what an exec probe runs with.
        pace: factor on the delay and period in seconds; 1.0 is the kubelet's.
    """
    needed = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
    await asyncio.sleep(probe.get("initialDelaySeconds", 0) * pace)
    last, count = None, 0
    while True:
        result = await check(probe, address=address, ports=ports, env=env)
        count = count + 1 if result is last else 1
        last = result
        if count >= needed[result]:
            yield result
        await asyncio.sleep(probe.get("periodSeconds", 10) * pace)


async def check(probe: Mapping[str, Any], *, address: str, ports: Mapping[str, int], env: Mapping[str, str]) -> bool:
    """One check, bounded by the probe's `timeoutSeconds` (default 1)."""
    with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(probe.get("timeoutSeconds", 1)):
            if "httpGet" in probe:
                return await _http(probe["httpGet"], address, ports)
            if "tcpSocket" in probe:
                target = probe["tcpSocket"]
                _, writer = await asyncio.open_connection(target.get("host", address), _port(target["port"], ports))
                writer.close()
                return True
            return await _exec(probe["exec"]["command"], env)
    return False


async def _http(target: Mapping[str, Any], address: str, ports: Mapping[str, int]) -> bool:
    scheme, host = target.get("scheme", "HTTP").lower(), target.get("host", address)
    url = f"{scheme}://{host}:{_port(target['port'], ports)}{target.get('path', '/')}"
    headers = {entry["name"]: entry["value"] for entry in target.get("httpHeaders", ())}
    # The kubelet does not verify certificates of probes either.
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        return 200 <= answer.status < 400


async def _exec(command: list[str], env: Mapping[str, str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env={**env}, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        return await process.wait() == os.EX_OK
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _port(port: int | str, ports: Mapping[str, int]) -> int:
    return port if isinstance(port, int) else ports[port]
