"""The HTTP pages of a process, read as a probe reads them."""

from __future__ import annotations

import urllib.error
import urllib.request


def page(port: int, path: str, *, host: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except OSError:
        return 0, ""
