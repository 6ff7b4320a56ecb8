"""Tests: what Prometheus and Grafana are told, and whether it is so."""
