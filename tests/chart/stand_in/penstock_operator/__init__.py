"""A stand-in, so that the chart can be installed by itself; see __main__.py."""
