"""Where the database is and how it is reached: URL, variables, certificates. Opens no connection."""
