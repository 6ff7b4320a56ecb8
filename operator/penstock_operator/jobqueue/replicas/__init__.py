"""How many replicas a Deployment is asked for, and which worker pods go first."""
