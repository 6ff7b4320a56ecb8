"""Arguments of tasks, from Python values to JSON and back."""
