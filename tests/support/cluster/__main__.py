"""`make cluster`, `make cluster-down`: the node named by PENSTOCK_CLUSTER, by default `penstock`.

`up` prints KUBECONFIG=…; `down` removes every trace; `exec COMMAND…` runs a program inside the node's namespaces;
`obstacle` prints why this machine cannot carry a node, and succeeds if it can.
"""

from __future__ import annotations

import sys

from tests.support.cluster import node
from tests.support.cluster.layout import node_name
from tests.support.cluster.preflight import obstacle
from tests.support.go_build import BuildError

USAGE = "usage: python -m tests.support.cluster up|down|obstacle|exec COMMAND..."


def say(line: str) -> None:
    """A line of progress, on standard error: scripts read standard output."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """The exit code."""
    name = node_name()
    match arguments:
        case ["up"]:
            print(f"KUBECONFIG={node.up(name, say).layout.kubeconfig}")
        case ["down"]:
            node.down(name)
            say(f"node {name}: removed")
        case ["obstacle"]:
            if reason := obstacle(name):
                print(reason)
                return 1
        case ["exec", *command] if command:
            found = node.find(name, say)
            if found is None:
                say(f"node {name} is not running")
                return 1
            done = found.run(*command)
            sys.stdout.write(done.stdout)
            sys.stderr.write(done.stderr)
            return done.returncode
        case _:
            say(USAGE)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ValueError, BuildError, node.NodeUnavailableError, node.NodeFailedError) as error:
        sys.exit(f"node: {error}")
