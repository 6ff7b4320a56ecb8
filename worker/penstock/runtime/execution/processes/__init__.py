"""The process executor: warm child processes that run one job at a time, each with a pipe to the worker.

    worker   executor ─► pool ─► child ─┐  frames over a socket pair
    child           child_main ◄────────┘  the App, its lifespans, one job after the other

`child_main` runs in the child and imports no stage, no lease and no metrics; the rest is the worker's. A child process
that exits, however it does, fails the one job that it had.
"""
