"""`penstock dev`: the same JobQueue manifests without a cluster.

Owns an embedded Postgres, a fleet of worker processes in place of Deployments, the loop that applies `decide()` to it,
and a live view. It decides nothing itself: the policy is `penstock.scaling`, the truth is `penstock.store`.
"""
