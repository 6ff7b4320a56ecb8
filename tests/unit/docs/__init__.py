"""What the documents say is held against the repository; see `pages` for the marks that a block may carry."""
