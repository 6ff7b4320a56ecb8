"""Objects of the cluster as frozen values: JobQueues, Deployments, pods, and the conditions of a JobQueue. Pure."""
