"""The process of one database: its protocol, its limits, and the parent's side of the connection."""
