"""Claims of jobs: taken, held by a lease, and given up only by an acknowledgement or a release."""
