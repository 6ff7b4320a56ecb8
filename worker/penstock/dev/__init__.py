"""`penstock dev`: run the JobQueue manifests of a cluster on this machine.

Owns an embedded Postgres, a fleet of worker processes in place of Deployments, the autoscaler that applies `decide()`
to it, and a live view. Must not decide anything: the decisions are made in `penstock.scaling`.
"""
