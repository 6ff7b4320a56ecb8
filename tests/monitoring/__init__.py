"""Tests: what Prometheus and Grafana show, and whether it is true."""
