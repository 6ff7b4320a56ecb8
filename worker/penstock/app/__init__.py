"""What an application uses: the App, its tasks, their options, and the handles of jobs."""
