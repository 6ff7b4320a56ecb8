"""The number of replicas requested from a Deployment, and the order in which worker pods are removed."""
