"""JobQueues on a real API server: the resource itself, and the operator that serves it."""
