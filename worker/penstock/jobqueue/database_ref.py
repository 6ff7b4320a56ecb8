"""`spec.databaseRef`: which Secrets say where the database is, and how it is checked."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec

from .resource_names import DataKey, ResourceName
from .spec_part import Part as _Part

TLS_CERTIFICATE: Final = "tls.crt"
TLS_KEY: Final = "tls.key"
"""Keys of a Secret of type kubernetes.io/tls."""
_HOSTS: Final = r"^[A-Za-z0-9\[:.,_%\]-]+\Z"


class SecretChange(enum.StrEnum):
    """Whether workers are replaced, or stay, when the credentials in their Secret change."""

    ROLLOUT = "Rollout"
    IGNORE = "Ignore"


class SecretParts(_Part, frozen=True):
    """Keys of a Secret that holds the parts of a URL."""

    host: DataKey = "host"
    port: DataKey = "port"
    username: DataKey = "username"
    password: DataKey = "password"  # noqa: S105 - the name of a key
    dbname: DataKey = "dbname"

    def keys(self) -> dict[str, str]:
        """The key of each part."""
        return {name: str(getattr(self, name)) for name in self.__struct_fields__}


class CaSecretRef(_Part, frozen=True):
    """A key of a Secret in the JobQueue's namespace that holds certificates of authorities."""

    name: ResourceName
    key: DataKey = "ca.crt"


class ClientCertificateSecretRef(_Part, frozen=True):
    """A Secret of type kubernetes.io/tls in the JobQueue's namespace."""

    name: ResourceName


class SecretRef(_Part, frozen=True):
    """A key of a Secret in the JobQueue's namespace, or with `parts` several."""

    name: ResourceName
    key: DataKey = "url"
    parts: SecretParts | None = None


class DatabaseRef(_Part, frozen=True):
    """Where the URLs are; never the URLs."""

    secret_ref: SecretRef
    direct_key: DataKey | None = None
    operator_secret_ref: SecretRef | None = None
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=1024, pattern=_HOSTS)] | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] | None = None
    dbname: Annotated[str, msgspec.Meta(min_length=1, max_length=63)] | None = None
    ca_secret_ref: CaSecretRef | None = None
    client_certificate_secret_ref: ClientCertificateSecretRef | None = None
    operator_client_certificate_secret_ref: ClientCertificateSecretRef | None = None
    on_secret_change: SecretChange = SecretChange.ROLLOUT

    @property
    def operators_client_certificate(self) -> ClientCertificateSecretRef | None:
        """The client certificate of the operator: its own, else the workers'."""
        return self.operator_client_certificate_secret_ref or self.client_certificate_secret_ref

    def literals(self) -> dict[str, str]:
        """Parts that the JobQueue says itself; they win over those of a Secret."""
        given = {"host": self.host, "port": self.port, "dbname": self.dbname}
        return {name: str(value) for name, value in given.items() if value is not None}
