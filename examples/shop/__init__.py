"""A small shop whose background work runs on Penstock: what an application looks like."""
