"""A tenant's URL says where a database is and who logs in; whatever would use the operator's machine is refused."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from penstock.errors import InvalidDatabaseURL
from penstock.store.tenants.url import IGNORED, MAX_HOSTS, MAX_URL, PASSED, restricted
from penstock_operator.database.address import Address
from penstock_operator.database.connection import Database
from penstock_operator.database.process.tenant_address import usable

URL = "postgresql://tenant:hunter2@db.example:5433/shop"


def known_keys() -> list[str]:
    """Every key that this machine's libpq knows."""
    return sorted(one.keyword.decode() for one in psycopg.pq.Conninfo.get_defaults())


@pytest.mark.parametrize("key", [key for key in known_keys() if key not in PASSED | IGNORED | {"sslrootcert"}])
def test_a_key_that_is_not_allowed_is_refused_by_its_name(key: str):
    """In a URL and in key=value form; its value is quoted nowhere. New keys of libpq are refused as well."""
    for text in (f"{URL}?{key}=secretvalue", f"host=db.example {key}=secretvalue"):
        with pytest.raises(InvalidDatabaseURL) as raised:
            restricted(text)
        assert "secretvalue" not in str(raised.value)
        assert "hunter2" not in str(raised.value)
        assert key in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:///shop",
        "postgresql://tenant@/shop",
        "postgresql://%2Ftmp/shop",
        "host=/tmp",
        "host=@abstract",
        "postgresql://a,%2Ftmp/shop",
        "host=a,",
        "dbname=shop",
        "postgresql://tenant@/shop?host=/var/run/postgresql",
    ],
)
def test_a_socket_of_the_machine_is_no_host(text: str):
    """Nor is a host that is left out: libpq would take a socket."""
    with pytest.raises(InvalidDatabaseURL, match=r"(?i)host"):
        restricted(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{URL}?sslrootcert=/etc/ca.pem",
        f"{URL}?sslcertmode=require",
        f"{URL}?gssencmode=require",
        f"{URL}?require_auth=gss",
        f"{URL}?require_auth=scram-sha-256,%20sspi",
        URL + "x" * MAX_URL,
        "host=" + ",".join(["a"] * (MAX_HOSTS + 1)),
    ],
    ids=["a file", "a client certificate", "a ticket", "gss", "sspi", "too long", "too many hosts"],
)
def test_a_value_that_would_use_the_machine_is_refused(text: str):
    """Credentials of the operator are no tenant's."""
    with pytest.raises(InvalidDatabaseURL):
        restricted(text)


def test_a_user_is_named():
    """Otherwise libpq takes the account that the operator runs as, or fails for want of one."""
    for text in ("postgresql://db.example/shop", "host=db.example dbname=shop", "postgresql://:pw@db.example/shop"):
        with pytest.raises(InvalidDatabaseURL, match="user"):
            restricted(text)


def test_what_hosted_databases_write_is_accepted():
    """TLS, SCRAM channel binding, several hosts, IPv6, time limits."""
    for query in (
        "sslmode=verify-full&sslrootcert=system",
        "sslmode=require&channel_binding=require",
        "ssl=true",
        "target_session_attrs=read-write&load_balance_hosts=random",
        "connect_timeout=3&application_name=x",
        "keepalives_idle=5&tcp_user_timeout=9&gssencmode=prefer",
        "require_auth=scram-sha-256",
    ):
        assert conninfo_to_dict(restricted(f"{URL}?{query}"))["host"] == "db.example"
    assert conninfo_to_dict(restricted("postgresql://u@[::1]:5/x"))["host"] == "::1"
    assert conninfo_to_dict(restricted("postgresql://u@a:1,b:2/x"))["host"] == "a,b"


def test_whatever_the_url_says_the_machine_lends_nothing():
    """No password file, no Kerberos ticket, no client certificate; where TLS is checked stays as it was asked."""
    made = conninfo_to_dict(restricted(f"{URL}?sslmode=verify-full&sslrootcert=system&connect_timeout=900"))
    assert made["sslmode"] == "verify-full"
    assert made["sslrootcert"] == "system"
    assert (made["gssencmode"], made["sslcertmode"], made["require_auth"]) == ("disable", "disable", "!gss,!sspi")
    assert not Path(str(made["passfile"])).exists()
    assert "connect_timeout" not in made


def test_given_certificates_take_the_place_of_a_file():
    """They are read from memory, and need no folder that can be written."""
    url = f"{URL}?sslmode=verify-full&sslrootcert=/mnt/ca.pem"
    database = Database(address=usable(Address(url=url, direct_url=url, ca="PEM")), holder="a", woken=lambda _: None)
    path = Path(str(conninfo_to_dict(database._address.url)["sslrootcert"]))
    assert path.parent == Path("/proc/self/fd")
    assert path.read_text(encoding="ascii") == "PEM"
