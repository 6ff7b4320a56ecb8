"""Where a URL comes from at each connect: a text, a file, a function; what it is without saying its value."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import App
from penstock.app.database_source import sources
from penstock.database.source import UrlFile, WithPassword, resolve
from penstock.database.url import with_password
from penstock.errors import ConfigurationError, DatabaseUnavailable
from penstock.settings import Settings

URL = "postgresql://u:old@h/d"
passwords = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=20)


@given(password=passwords)
@pytest.mark.parametrize(
    "url", [URL, "postgresql://u@h/d?sslmode=require", "postgres://h/d?", "host=h user=u password=old", "host=h"]
)
def test_a_password_arrives_as_it_is_in_every_form_of_url(url: str, password: str):
    """In place of the one that the URL has."""
    assert psycopg.conninfo.conninfo_to_dict(with_password(url, password))["password"] == password


def test_a_file_is_read_at_each_connect_with_the_certificates_next_to_it(tmp_path: Path, monkeypatch):
    """It may end with a line break."""
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    source = UrlFile(str(file))
    assert resolve(source) == URL
    file.write_text("postgresql://u:new@h/d")
    assert resolve(source) == "postgresql://u:new@h/d"
    monkeypatch.setenv("PENSTOCK_DATABASE_CA_FILE", "/ca")
    assert "sslrootcert=/ca" in resolve(source)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_that_gives_no_url_is_named(content: bytes | None, tmp_path: Path):
    """At the start a mistake; later it may be about to be replaced."""
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DatabaseUnavailable, match=str(file)):
        UrlFile(str(file))()
    for variable in ("PENSTOCK_DATABASE_URL_FILE", "PENSTOCK_DIRECT_URL_FILE"):
        with pytest.raises(ConfigurationError, match=f"{variable}.*{file}"):
            Settings.from_env({"PENSTOCK_DATABASE_URL": URL, variable: str(file)})


def test_a_file_wins_over_the_variables_of_an_operators_pod(tmp_path: Path):
    """Those are there in any case; the settings read back from their own environment."""
    file, direct = tmp_path / "url", tmp_path / "direct"
    file.write_text("postgresql://u:new@pooler/d")
    direct.write_text("postgresql://u:new@h/d")
    environ = {"PENSTOCK_DATABASE_URL": URL, "PENSTOCK_DATABASE_HOST": "x", "PENSTOCK_DATABASE_URL_FILE": str(file)}
    settings = Settings.from_env(environ)
    assert (settings.database_url, settings.pooled) == ("postgresql://u:new@pooler/d", False)
    assert Settings.from_env(settings.to_env()) == settings
    assert sources(settings) == (UrlFile(str(file)), UrlFile(str(file)))
    both = Settings.from_env({**environ, "PENSTOCK_DIRECT_URL_FILE": str(direct)})
    assert both.pooled
    assert sources(both) == (UrlFile(str(file)), UrlFile(str(direct)))
    assert sources(Settings.from_env({"PENSTOCK_DATABASE_URL": URL})) == (URL, URL)
    assert "new" not in repr(settings)


def _broken() -> str:
    raise ValueError("swordfish")


def test_a_function_that_gives_no_password_is_reported_by_its_kind():
    """Never by what it returned or raised."""
    with pytest.raises(DatabaseUnavailable, match="raised ValueError") as raised:
        WithPassword(URL, _broken)()
    assert "swordfish" not in str(raised.value)
    for given_, named in ((lambda: None, "empty"), (lambda: b"swordfish", "bytes"), (lambda: "", "empty")):
        with pytest.raises(ConfigurationError, match=named) as refused:
            WithPassword(URL, given_)()  # type: ignore[arg-type] # what an application may do
        assert "swordfish" not in str(refused.value)
    assert "old" not in repr(WithPassword(URL, _broken))


def test_an_app_asks_for_its_password_at_each_connect():
    """Of a URL of its own or of the environment's."""
    given_ = iter(("one", "two"))
    app = App(URL, password=lambda: next(given_))
    url, _ = app._database()
    for password in ("one", "two"):
        assert psycopg.conninfo.conninfo_to_dict(resolve(url))["password"] == password
