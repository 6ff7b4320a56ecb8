"""Claims of jobs: taken, kept by a lease, and ended only by an acknowledgement or a release."""
