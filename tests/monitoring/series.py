"""Names of series with their labels, as Prometheus scrapes them from a pod of the operator or of a queue."""

from __future__ import annotations


def of_queue(name: str, more: str = "") -> str:
    return f'penstock_queue_{name}{{namespace="shop",jobqueue="emails",pod="penstock-0"{more}}}'


def of_worker(name: str, more: str = "") -> str:
    return f'penstock_{name}{{namespace="shop",jobqueue="emails",pod="emails-1",queue="emails"{more}}}'


def of_database(name: str, more: str = "") -> str:
    return f'penstock_database_{name}{{namespace="shop",secret="shop-postgres",pod="penstock-0"{more}}}'


def condition(kind: str) -> str:
    return of_queue("condition", f',type="{kind}"')
