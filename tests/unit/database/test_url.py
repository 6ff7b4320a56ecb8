"""Database URLs from parts, with certificates, and what is wrong with one that does not parse."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.database.system_certificates import FILE, FOLDER, use_system_certificates
from penstock.database.url import compose, hint, with_certificates, with_verification
from penstock.database.variables import DATABASE_VARIABLES, PARTS, urls_from_variables
from penstock.errors import ConfigurationError, InvalidDatabaseURL
from penstock.settings import Settings
from penstock.store.errors import check_url

texts = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" @/:?#%&='\"\\"), min_size=1, max_size=20
)
LEAST = {"host": "db", "user": "shop", "password": "p", "database": "shop"}


@given(user=texts, password=texts, database=texts)
def test_whatever_is_in_a_part_arrives_as_it_is(user: str, password: str, database: str):
    """Libpq reads back what the Secret has: '@', '/', '%', blanks and letters of any language."""
    parts = psycopg.conninfo.conninfo_to_dict(compose(host="db", user=user, password=password, database=database))
    assert (parts["user"], parts["password"], parts["dbname"]) == (user, password, database)
    assert (parts["host"], parts["port"]) == ("db", "5432")


@pytest.mark.parametrize(
    ("host", "port", "hosts", "ports"),
    [
        ("shop-rw.db.svc", "6432", "shop-rw.db.svc", "6432"),
        ("2001:db8::1", "", "2001:db8::1", "5432"),
        ("[2001:db8::1]", "1", "2001:db8::1", "1"),
        ("fe80::1%eth0", "", "fe80::1%eth0", "5432"),
        ("a,b", "6432", "a,b", "6432,6432"),
        ("a,::1", "1,2", "a,::1", "1,2"),
    ],
)
def test_a_host_may_be_a_name_an_address_or_several(host: str, port: str, hosts: str, ports: str):
    """IPv6 with or without brackets."""
    parts = psycopg.conninfo.conninfo_to_dict(compose(**LEAST | {"host": host, "port": port}))
    assert (parts["host"], parts["port"]) == (hosts, ports)


@pytest.mark.parametrize(
    "change",
    [
        {"host": ""},
        {"user": ""},
        {"password": ""},
        {"database": ""},
        {"host": "/var/run/postgresql"},
        {"host": "@x"},
        {"host": "a,"},
        {"host": "swordfish:5432"},
        {"port": "swordfish"},
        {"port": "0"},
        {"port": "65536"},
        {"port": "1,2"},
        {"port": "99999999999"},
        {"port": "٣"},
        {"password": "swordfish\n"},
        {"database": "a\x00"},
    ],
)
def test_parts_that_make_no_url_are_refused_without_their_values(change: dict[str, str]):
    """A socket's path too: what is there belongs to the machine."""
    with pytest.raises(ConfigurationError) as raised:
        compose(**LEAST | change)
    assert "swordfish" not in str(raised.value)
    assert next(iter(change)).replace("user", "username").replace("database", "dbname") in str(raised.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://u:swordfish@h/d", "SQLAlchemy"),
        ("postgres+asyncpg://u:swordfish@h/d", "SQLAlchemy"),
        ("jdbc:postgresql://h:5432/d?user=u&password=swordfish", "JDBC"),
        ("'postgresql://u:swordfish@h/d'", "quotes"),
        ('"postgresql://u:swordfish@h/d"', "quotes"),
        ("PENSTOCK_DATABASE_URL=postgresql://u:swordfish@h/d", "name of a variable"),
        ("postgresql://u:swordfish@h/d?schema=public", "schema"),
        ("postgresql://u:swordfish@h/d?sslmode=require&schema=public", "schema"),
        ("postgresql://u:swordfish@h/d?pgbouncer=true", "pgbouncer"),
        ("u:swordfish@h:5432/d", "no scheme"),
        ("postgresql:/u:swordfish@h/d", "two slashes"),
        ("mysql://u:swordfish@h/d", "PostgreSQL's"),
        ("cG9zdGdyZXNxbDovL3U6c3dvcmRmaXNoQGgvZA==", "base64"),
        ("postgresql://u:sword@fish@h/d", "%40"),
        ("postgresql://u:sword/fish@h/d", "%2F"),
        ("postgresql://u:sword#fish@h/d", "%23"),
        ("postgresql://u:sword%fish@h/d", "%25"),
        ("postgresql://u:swordfish@h:port/d", "port"),
        ("postgresql://u:swordfish@h\n/d", "line break"),
        ("postgresql://u:sword fish@h/d", "%20"),
        ("swordfish", "postgresql://"),
    ],
)
def test_a_malformed_url_has_a_hint_and_never_its_value(url: str, message: str):
    """What people paste most, each with what to do."""
    assert message in hint(url)
    assert "swordfish" not in hint(url)
    assert "fish" not in hint(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg2://u:swordfish@h/d", "SQLAlchemy: write postgresql://"),
        ("postgresql+asyncpg://u:swordfish@h/d", "SQLAlchemy: write postgresql://"),
        ("postgres+ssl://u:swordfish@h/d", "write postgresql://"),
        ("pgsql://u:swordfish@h/d", "must start with postgresql://"),
        ("postgis://u:swordfish@h/d", "must start with postgresql://"),
        ("jdbc:postgresql://h/d?user=u&password=swordfish", "without `jdbc:`"),
        ("Host=h;Username=u;Password=swordfish;Database=d", ".NET"),
        ("Server=h;Port=5432;User Id=u;Password=swordfish;", ".NET"),
        ("psql postgresql://u:swordfish@h/d", "command psql"),
        ("psql 'postgresql://u:swordfish@h/d'", "command psql"),
        ("`postgresql://u:swordfish@h/d`", "without quotes"),
        ("“postgresql://u:swordfish@h/d”", "without quotes"),
        ("<postgresql://u:swordfish@h/d>", "without quotes"),
        ("\ufeffpostgresql://u:swordfish@h/d", "byte order mark"),
        ("DATABASE_URL=postgresql://u:swordfish@h/d", "write the value alone"),
        ("postgresql://u:swordfish@${HOST}:${PORT}/d", "was not expanded"),
        ("postgresql://u:swordfish@$(HOST):$(PORT)/d", "was not expanded"),
        ("postgresql://u:swordfish@h:{{ port }}/d", "was not expanded"),
        ("postgresql://u:swordfish@h/d?schema=public", "`schema`: remove it, the tables are in the schema penstock"),
        ("postgresql://u:swordfish@h/d?currentSchema=a", "`currentSchema`: remove it"),
        (
            "postgresql://u:swordfish@h/d?sslmode=require&pgbouncer=true",
            "`pgbouncer`: remove it, and set PENSTOCK_",
        ),
        ("postgresql://u:swordfish@h/d?connection_limit=1&pool_timeout=2", "`connection_limit`: remove it"),
        ("postgresql://u:swordfish@h/d?sslaccept=strict", "`sslaccept`: write sslmode=require"),
        ("postgresql://u:swordfish@h/d?ssl=require", "`ssl`: write sslmode=require"),
        ("postgresql://u:swordfish@h/d?ssl-mode=REQUIRED", "`ssl-mode`: write sslmode=require"),
        ("postgresql://u:swordfish@h/d?sslmode=no-verify", "no-verify of other tools is require"),
        ("postgresql://u:swordfish@h/d?charset=utf8&serverVersion=16", "`charset`: remove it, text is always UTF-8"),
        ("postgresql://u:swordfish@h/d?statement_cache_size=0", "`statement_cache_size`: remove it"),
        ("postgresql://u:swordfish@h/d?prepareThreshold=0", "`prepareThreshold`: remove it"),
        ("postgresql://u:swordfish@h/d?applicationName=a", "`applicationName`: write application_name=NAME"),
        ("postgresql://u:swordfish@h/d?connectTimeout=3", "`connectTimeout`: write connect_timeout=SECONDS"),
        ("postgresql://u:sword@fish@h/d", "%40"),
        ("postgresql://u@server:swordfish@h/d", "a user name is written"),
        ("postgresql://u:sword/fish@h/d", "%2F"),
        ("postgresql://u:12/swordfish@h/d", "%2F"),
        ("postgresql://u:sword%fish@h/d", "%25"),
        ("postgresql://u:sword fish@h/d", "%20"),
    ],
)
def test_a_url_of_another_tool_is_refused_with_the_part_that_is_wrong(url: str, message: str):
    """And what to write for it; never with a value."""
    with pytest.raises(InvalidDatabaseURL) as raised:
        check_url(url)
    assert message in str(raised.value)
    assert "fish" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@h/d%40e",
        "postgresql://u:p@h/d?sslmode=require&ssl=true",
        "postgresql:///d?host=/tmp",
        "postgresql://u:p@h/d?options=-c%20jit%3Doff&target_session_attrs=any",
        "host=h user=u password='a@/' dbname=d",
        "postgresql://u:p$ss@h/d",
        "postgresql://u:p?schema=s@h/d",
        "postgresql://u:p#s@h/d",
        "postgresql://a,b/d",
        "postgresql://u:p@[::1]:5432/d",
        "service=shop",
    ],
)
def test_what_libpq_understands_is_left_alone(url: str):
    """In every form of its own."""
    check_url(url)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://u:swordfish@h/d", "'postgresql://u:swordfish@h/d'", "postgresql://u:sword@fish@h/d"]
)
def test_the_hint_is_part_of_the_refusal(url: str):
    """Of doctor, of a worker's start and of the condition alike."""
    with pytest.raises(InvalidDatabaseURL) as raised:
        check_url(url)
    assert hint(url) in str(raised.value)


@given(texts)
def test_no_text_makes_the_hints_fail_or_leak(text: str):
    """Whatever the Secret holds."""
    assert len(hint(f"postgresql://{text}")) < 200
    assert len(hint(text)) < 200


@pytest.mark.parametrize(
    ("url", "mode", "root"),
    [
        ("postgresql://u:p@h/d", "verify-full", "/ca"),
        ("postgresql://u:p@h/d?sslmode=require", "require", "/ca"),
        ("postgresql://u:p@h/d?sslrootcert=system", "verify-full", "system"),
        ("postgres://u:p@h/d?", "verify-full", "/ca"),
        ("host=h user=u password='a b' dbname=d", "verify-full", "/ca"),
        ("host=h sslmode = require", "require", "/ca"),
        ("host=h password='a sslmode=disable \\' sslrootcert=x'", "verify-full", "/ca"),
    ],
)
def test_certificates_are_used_in_full_unless_the_url_says_otherwise(url: str, mode: str, root: str):
    """In both forms of a URL; doing it twice changes nothing."""
    made = with_certificates(url, "/ca")
    parts = psycopg.conninfo.conninfo_to_dict(made)
    assert (parts["sslmode"], parts["sslrootcert"]) == (mode, root)
    assert with_certificates(made, "/ca") == made
    assert psycopg.conninfo.conninfo_to_dict(with_verification(url))["sslmode"] == mode


def test_a_worker_takes_its_url_in_parts_and_a_url_wins():
    """A pinned URL is read from its own environment."""
    environ = dict(zip(PARTS.values(), ("db", "6432", "shop", "p@ss", "shop"), strict=True))
    settings = Settings.from_env(environ)
    assert settings.database_url == "postgresql://shop:p%40ss@db:6432/shop"
    assert settings.direct_url == settings.database_url
    assert Settings.from_env(settings.to_env()) == settings
    assert (
        Settings.from_env({**environ, "PENSTOCK_DATABASE_URL": "postgresql://a/b"}).database_url == "postgresql://a/b"
    )
    assert set(environ) < set(DATABASE_VARIABLES)


def test_parts_that_are_incomplete_are_named_and_certificates_hold_for_both_urls():
    """Nothing given is nothing said."""
    with pytest.raises(ConfigurationError, match="password must be set"):
        Settings.from_env({"PENSTOCK_DATABASE_HOST": "db", "PENSTOCK_DATABASE_USER": "shop"})
    found = urls_from_variables(
        {
            "PENSTOCK_DATABASE_URL": "postgresql://a/b",
            "PENSTOCK_DIRECT_URL": "postgresql://c/d",
            "PENSTOCK_DATABASE_CA_FILE": "/ca",
        }
    )
    assert all("sslrootcert=/ca&sslmode=verify-full" in url for url in found.values())
    assert set(urls_from_variables({"PENSTOCK_DATABASE_CA_FILE": "/ca"}).values()) == {""}


def test_the_machines_certificates_are_found_where_distributions_keep_them(tmp_path: Path):
    """The first that is there and not empty; what somebody set stays."""
    bundle, empty = tmp_path / "bundle.crt", tmp_path / "empty.crt"
    bundle.write_text("pem")
    empty.write_text("")
    places = [str(tmp_path / "absent"), str(empty), str(bundle)]
    environ: dict[str, str] = {}
    assert use_system_certificates(environ, places) == str(bundle)
    assert environ == {FILE: str(bundle)}
    for name in (FILE, FOLDER):
        given_ = {name: "/mine"}
        assert use_system_certificates(given_, places) == "/mine"
        assert given_ == {name: "/mine"}
    assert use_system_certificates({}, places[:2]) is None
