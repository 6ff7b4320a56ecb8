"""What people and CI run on the repository itself; nothing of it is installed with a distribution."""
