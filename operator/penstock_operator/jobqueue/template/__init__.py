"""The pod template of a JobQueue: checked, completed and secured."""
