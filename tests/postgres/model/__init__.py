"""Random sequences of calls against a model, and many rows."""
