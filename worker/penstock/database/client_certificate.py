"""A client certificate for Postgres: checked before use, with its key stored where libpq accepts it.

libpq reads a certificate and its key from files, and refuses a key that others may read. The files of a mounted Secret
belong to root: a process of another user can read only a world-readable one. Such a key is copied into memory, into an
unnamed file that end_ with this process.

For an expired certificate libpq reports only the server's TLS alert, which has no reason. The dates are therefore
checked here.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from ..errors import InvalidClientCertificate
from .url import with_client_files

_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
_copies: dict[bytes, str] = {}


def check(certificate: str, key: str, *, where: str, names: tuple[str, str], now: dt.datetime | None = None) -> None:
    """Check that the certificate can be presented to a server now.

    Args:
        certificate: path of a file with the certificate in PEM, intermediate ones after it.
        key: path of a file with its private key in PEM.
        where: name of their source, for the message.
        names: of the certificate and the key, for the message.
        now: the current time; default the clock's.

    Raises:
        InvalidClientCertificate: the message quotes no content.
    """
    labels = [f"{where}: {name}" for name in names]
    texts = [_read(path, one) for path, one in zip((certificate, key), labels, strict=True)]
    if _CERTIFICATE not in texts[0]:
        raise InvalidClientCertificate(f"{labels[0]} must be a certificate in PEM")
    if re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", texts[1]) is None:
        raise InvalidClientCertificate(f"{labels[1]} must be a private key in PEM")
    _check_pair(certificate, key, labels, names)
    _check_dates(texts[0], labels[0], now or dt.datetime.now(dt.UTC))


def _read(path: str, label: str) -> str:
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError as error:
        raise InvalidClientCertificate(f"{label} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidClientCertificate(f"{label} must be text in PEM") from None
    if not text:
        raise InvalidClientCertificate(f"{label} must not be empty")
    return text


def _check_pair(certificate: str, key: str, labels: list[str], names: tuple[str, str]) -> None:
    def encrypted() -> NoReturn:
        raise InvalidClientCertificate(f"{labels[1]} is encrypted; use a key without a passphrase")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")  # the server decides which keys are long enough
    try:
        context.load_cert_chain(certificate, key, password=encrypted)
    except ssl.SSLError as error:
        if error.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
            raise InvalidClientCertificate(
                f"{labels[1]} does not match {names[0]}; use a certificate and a key of one pair"
            ) from None
        raise InvalidClientCertificate(f"{labels[0]} and {names[1]} cannot be used: {_reason(error)}") from None


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "they are malformed").replace("_", " ").lower()


def _check_dates(text: str, label: str, now: dt.datetime) -> None:
    first = text[text.index(_CERTIFICATE) :]
    end = "-----END CERTIFICATE-----"
    not_before, not_after = _validity(ssl.PEM_cert_to_DER_cert(first[: first.index(end) + len(end)]))
    if now > not_after:
        raise InvalidClientCertificate(f"{label} expired at {not_after:%Y-%m-%dT%H:%M:%SZ}; renew it")
    if now < not_before:
        raise InvalidClientCertificate(f"{label} is not valid before {not_before:%Y-%m-%dT%H:%M:%SZ}")


def _validity(der: bytes) -> tuple[dt.datetime, dt.datetime]:
    """The validity of a certificate, which OpenSSL has already parsed: it is well-formed."""
    (_, certificate), *_ = _elements(der)
    (_, signed), *_ = _elements(certificate)
    fields = [(tag, value) for tag, value in _elements(signed) if tag != _VERSION]
    # serial number, algorithm, issuer, validity
    not_before, not_after = (_time(tag, value) for tag, value in _elements(fields[3][1]))
    return not_before, not_after


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element of DER; all tags here have one byte."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            length, at = int.from_bytes(data[at : at + octets], "big"), at + octets
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, value: bytes) -> dt.datetime:
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    found = dt.datetime.strptime(value.decode("ascii"), form).replace(tzinfo=dt.UTC)
    if tag == _UTC_TIME and found.year >= 2050:  # Python's pivot is 2069
        found = found.replace(year=found.year - 100)
    return found


def with_client_certificate(url: str, certificate: str, key: str, *, where: str) -> str:
    """The URL with the files of a client certificate; it asks for TLS unless it names a mode.

    What the URL says itself about `sslcert` stays.

    Raises:
        InvalidClientCertificate: the URL's sslmode would connect without TLS, and show no certificate.
    """
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "''", url)
    found = re.search(r"(?:^|[?&\s])sslmode\s*=\s*'?(disable|allow)(?:'|[&#\s]|$)", bare)
    if found is not None:
        rule = "so the certificate would not be sent: remove sslmode, or write verify-full"
        raise InvalidClientCertificate(f"{where}: the URL sets sslmode={found[1]}, {rule}")
    return with_client_files(url, certificate, key)


def memory_file(name: str, content: bytes) -> int:
    """A descriptor of a file in memory that only this user may read; its path is `/proc/PID/fd/DESCRIPTOR`."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
    os.write(descriptor, content)
    return descriptor


def private(key: str) -> str:
    """The path of a key that libpq accepts: the file itself, or a copy in memory that lasts as long as this process.

    Child processes of the same user can read the copy by the same path.
    """
    found = Path(key).stat()
    if _accepted(found):
        return key
    content = Path(key).read_bytes()
    digest = hashlib.sha256(content).digest()
    if digest not in _copies:
        _copies[digest] = f"/proc/{os.getpid()}/fd/{memory_file('penstock-key', content)}"
    return _copies[digest]


def _accepted(found: os.stat_result) -> bool:
    """The rule of libpq: 0600 or less of one's own, 0640 or less of root."""
    others = stat.S_IRWXG | stat.S_IRWXO
    if found.st_uid == os.geteuid() and not found.st_mode & others:
        return True
    return found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO)
