"""Dashboards, alert rules and the index of runbooks, generated from the metrics that the code exports.

`registry` knows the metrics, `promql` checks an expression against them, `panels` and `alerts` define what is
shown and alerted, and the other modules write it for Grafana and Prometheus. Nothing here runs in production.
"""
