"""The API for applications: the App, its tasks with their options, and the handles of jobs."""
