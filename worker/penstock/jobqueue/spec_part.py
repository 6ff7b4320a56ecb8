"""What all parts of a manifest's policy have in common."""

from __future__ import annotations

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Shared settings of all structs: frozen, by keyword, camelCase in the manifest."""
