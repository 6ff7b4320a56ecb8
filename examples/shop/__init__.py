"""An example application: a small shop whose background jobs run on Penstock."""
