"""Dashboards, alert rules and the index of runbooks, made from the metrics that the code gives out.

`registry` knows the metrics, `promql` checks an expression against them, `panels` and `alerts` are what people want to
see and be told, and the other modules write that in Grafana's and Prometheus' forms. Nothing here runs in production.
"""
