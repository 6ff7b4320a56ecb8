"""What the documents say is checked against the repository; see `pages` for the marks that a block may carry."""
