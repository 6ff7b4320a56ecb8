"""The configuration of one worker, as environment variables, in both directions.

`Settings.from_env()` and `Settings.to_env()` are exact inverses: the operator and `penstock dev` write the variables
that a worker reads. A worker reads nothing else: no files, no layers. Each field below owns its variable, default, unit
and rule; the reference page is generated from them. Durations are in seconds, with the unit in the name.
The two database URLs are credentials: no repr and no error shows them, and `to_env(urls=False)` leaves them out, for a
pod that gets them from a Secret.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from .backoff import DEFAULT_BASE_SECONDS, DEFAULT_MAX_SECONDS, STRATEGIES, Backoff, StrategyName
from .database.variables import urls_from_variables
from .errors import ConfigurationError, shown
from .outcomes import MAX_DELAY

if TYPE_CHECKING:
    from collections.abc import Mapping

ExecutorName = Literal["async", "thread", "process"]
EXECUTORS: Final[tuple[str, ...]] = get_args(ExecutorName)
LogFormat = Literal["text", "json"]

DERIVED: Final = -1
"""Marks a number whose default is computed from other settings; never a valid value itself."""

DEFAULT_INCOMPATIBLE_SECONDS: Final = 3600.0
DEFAULT_MAX_ATTEMPTS: Final = 5
"""Attempts of a job when task, options and queue say nothing."""
_QUEUE_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_QUEUE_RULE: Final = "1 to 63 letters, digits, '.', '_' or '-', with a letter or digit first and last"
_APP_PATH: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def check_queue_name(name: object, *, of: str) -> str:
    """The name of a queue, if it is one; `of` names its owner in the error.

    Raises:
        ConfigurationError: not 1 to 63 letters, digits, '.', '_' or '-', or such a symbol first or last.
    """
    if not isinstance(name, str) or not _QUEUE_NAME.fullmatch(name):
        raise ConfigurationError(f"{of} must be {_QUEUE_RULE}, got {shown(name)}")
    return name


def _setting(
    suffix: str,
    default: Any,
    doc: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    metadata: dict[str, Any] = {"variable": f"PENSTOCK_{suffix}", "doc": doc, "secret": secret}
    metadata |= {"low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One worker's configuration.

    Raises:
        ConfigurationError: a value breaks its field's rule; the message names field, variable, rule and value.
    """

    database_url: str = _setting("DATABASE_URL", "", "URL of the database, direct or through a pooler.", secret=True)
    direct_url: str = _setting("DIRECT_URL", "", "For LISTEN, without a pooler. Default: DATABASE_URL.", secret=True)
    database_url_file: str = _setting("DATABASE_URL_FILE", "", "File with the database URL, read at each connect.")
    direct_url_file: str = _setting("DIRECT_URL_FILE", "", "File with the direct URL, read at each connect.")
    app: str = _setting("APP", "", "Import path of the App: package.module:attribute.")
    queue: str = _setting("QUEUE", "default", "Queue to take jobs from.")
    concurrency: int = _setting("CONCURRENCY", 5, "Jobs that run at once.", low=1, high=10_000)
    min_demand: int = _setting(
        "MIN_DEMAND", DERIVED, "Ask for more at this many jobs. Default: half of CONCURRENCY.", low=0, high=99_999
    )
    max_demand: int = _setting(
        "MAX_DEMAND", DERIVED, "Jobs claimed or asked for at once. Default: CONCURRENCY.", low=1, high=100_000
    )
    executor: ExecutorName = _setting(  # noqa: RUF009 - a field, not a shared value
        "EXECUTOR", "async", "Executor of tasks that name none.", choices=EXECUTORS
    )
    child_max_jobs: int = _setting(
        "CHILD_MAX_JOBS", 1000, "Replace a child process after this many jobs; 0: never.", low=0, high=1_000_000_000
    )
    child_max_resident_mib: int = _setting(
        "CHILD_MAX_RESIDENT_MIB", 0, "Replace a child process above this size; 0: never.", low=0, high=16_777_216
    )
    drain_timeout_seconds: float = _setting(
        "DRAIN_TIMEOUT_SECONDS", 30.0, "Grace period from SIGTERM to SIGKILL.", low=0, high=MAX_DELAY
    )
    lease_seconds: float = _setting(
        "LEASE_SECONDS",
        15.0,
        "If a worker does not renew its lease for this long, its jobs go to other workers.",
        low=0.5,
        high=3600,
    )
    poll_seconds: float = _setting("POLL_SECONDS", 2.0, "Polling interval of an idle worker.", low=0.05, high=3600)
    listen: bool = _setting("LISTEN", True, "Receive wake-ups with LISTEN: true or false.")
    max_attempts: int = _setting(
        "MAX_ATTEMPTS", DEFAULT_MAX_ATTEMPTS, "Queue setting: attempts, unless a task sets them.", low=1, high=1000
    )
    backoff_strategy: StrategyName = _setting(  # noqa: RUF009
        "BACKOFF_STRATEGY", "exponential", "Backoff between attempts.", choices=STRATEGIES
    )
    backoff_base_seconds: float = _setting(
        "BACKOFF_BASE_SECONDS",
        DERIVED,
        "Base of the backoff. Default: 5 if exponential, else 60; or the maximum.",
        low=0.001,
        high=MAX_DELAY,
    )
    backoff_max_seconds: float = _setting(
        "BACKOFF_MAX_SECONDS",
        DERIVED,
        "Maximum backoff. Default: 3600, or the base if greater.",
        low=0.001,
        high=MAX_DELAY,
    )
    circuit_failure_percent: int = _setting(
        "CIRCUIT_FAILURE_PERCENT", 0, "Failure rate that opens a task's circuit, in percent; 0: off.", low=0, high=100
    )
    circuit_minimum_calls: int = _setting("CIRCUIT_MINIMUM_CALLS", 20, "Attempts before it opens.", low=1, high=10_000)
    circuit_window_seconds: float = _setting("CIRCUIT_WINDOW_SECONDS", 60.0, "Window of the rate.", low=1, high=86_400)
    circuit_open_seconds: float = _setting("CIRCUIT_OPEN_SECONDS", 30.0, "Time until a probe.", low=0.1, high=86_400)
    job_deadline_seconds: float = _setting(
        "JOB_DEADLINE_SECONDS", 0.0, "Queue setting: reclaim attempts that run longer; 0: never.", low=0, high=MAX_DELAY
    )
    retention_seconds: float = _setting(
        "RETENTION_SECONDS", 86_400.0, "Queue setting: minimum time to keep outcomes.", low=0, high=MAX_DELAY
    )
    incompatible_seconds: float = _setting(
        "INCOMPATIBLE_SECONDS",
        DEFAULT_INCOMPATIBLE_SECONDS,
        "How long a job with incompatible arguments waits for another release; 0: not at all.",
        low=0,
        high=MAX_DELAY,
    )
    http_host: str = _setting("HTTP_HOST", "127.0.0.1", "Address of /healthz, /readyz and /metrics; `::`: all.")
    http_port: int = _setting("HTTP_PORT", 9464, "Port of that address; 0: any free port.", low=0, high=65_535)
    pod_name: str = _setting("POD_NAME", "", "Name of the worker, with its process id. Default: host name.")
    node_name: str = _setting("NODE_NAME", "", "Kubernetes node of the worker.")
    log_level: str = _setting(
        "LOG_LEVEL", "info", "Minimum log level.", choices=("debug", "info", "warning", "error", "critical")
    )
    log_format: LogFormat = _setting(  # noqa: RUF009
        "LOG_FORMAT", "text", "Format of log lines: text or JSON.", choices=("text", "json")
    )

    def __post_init__(self) -> None:
        for given in dataclasses.fields(self):
            _check(given, getattr(self, given.name))
        self._derive()
        check_queue_name(self.queue, of=_called("queue"))
        if self.app and not _APP_PATH.fullmatch(self.app):
            raise ConfigurationError(f"{_called('app')} must be package.module:attribute, got {shown(self.app)}")
        if not self.min_demand < self.max_demand:
            raise ConfigurationError(
                f"{_called('min_demand')} must be below max_demand ({self.max_demand}), got {self.min_demand}"
            )
        if self.backoff_max_seconds < self.backoff_base_seconds:
            raise ConfigurationError(
                f"{_called('backoff_max_seconds')} must be at least backoff_base_seconds "
                f"({self.backoff_base_seconds:g}), got {self.backoff_max_seconds:g}"
            )

    def _derive(self) -> None:
        base, maximum = self.backoff_base_seconds, self.backoff_max_seconds
        if base == DERIVED:
            base = DEFAULT_BASE_SECONDS[self.backoff_strategy]
            base = base if maximum == DERIVED else min(base, maximum)
        max_demand = self.concurrency if self.max_demand == DERIVED else self.max_demand
        derived = {
            "direct_url": self.direct_url or self.database_url,
            "max_demand": max_demand,
            "min_demand": min(self.concurrency // 2, max_demand - 1) if self.min_demand == DERIVED else self.min_demand,
            "backoff_base_seconds": base,
            "backoff_max_seconds": max(DEFAULT_MAX_SECONDS, base) if maximum == DERIVED else maximum,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def pooled(self) -> bool:
        """True if the database URL leads to a pooler: the direct URL differs."""
        return self.direct_url != self.database_url

    @property
    def backoff(self) -> Backoff:
        """The backoff of tasks that set none."""
        return Backoff(
            strategy=self.backoff_strategy, base_seconds=self.backoff_base_seconds, max_seconds=self.backoff_max_seconds
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, urls: bool = True) -> Settings:
        """The settings that `environ` holds; a variable that is missing or empty means its default.

        Args:
            environ: usually `os.environ`. The URL may be given in parts (`database.variables`).
            urls: False leaves both database URLs empty and their variables unread.

        Raises:
            ConfigurationError: a value that cannot be read or breaks its rule, or no PENSTOCK_DATABASE_URL.
        """
        values: dict[str, Any] = {}
        found = urls_from_variables(environ) if urls else {}
        for given in dataclasses.fields(cls):
            text = found.get(given.metadata["variable"]) or environ.get(given.metadata["variable"], "")
            if text and (urls or not given.metadata["secret"]):
                values[given.name] = _parse(given, text)
        if urls and not values.get("database_url"):
            raise ConfigurationError(f"{_called('database_url')} must be set, as postgresql://user@host/database")
        return cls(**values)

    def to_env(self, *, urls: bool = True) -> dict[str, str]:
        """All settings as variables, empty ones left out; `from_env` reads them back to an equal value.

        Args:
            urls: False leaves out both database URLs, for a pod that gets them from a Secret.
        """
        texts: dict[str, str] = {}
        for given in dataclasses.fields(self):
            text = _text(getattr(self, given.name))
            if text and (urls or not given.metadata["secret"]):
                texts[given.metadata["variable"]] = text
        return texts


_FIELDS: Final = {given.name: given for given in dataclasses.fields(Settings)}


def _called(name: str) -> str:
    return f"{name} ({_FIELDS[name].metadata['variable']})"


def _fail(given: dataclasses.Field[Any], rule: str, value: object) -> ConfigurationError:
    got = "" if given.metadata["secret"] else f", got {shown(value)}"
    return ConfigurationError(f"{given.name} ({given.metadata['variable']}) must be {rule}{got}")


def _rule(given: dataclasses.Field[Any]) -> str:
    if choices := given.metadata["choices"]:
        return "one of " + ", ".join(choices)
    if given.type == "bool":
        return "true or false"
    if given.type == "str":
        return "one line of text without surrounding spaces"
    kind = "a whole number" if given.type == "int" else "seconds"
    return f"{kind} from {given.metadata['low']:g} to {given.metadata['high']:.12g}"


def _check(given: dataclasses.Field[Any], value: Any) -> None:
    number = given.type in {"int", "float"}
    if number and value == DERIVED == given.default:
        return
    kinds: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "bool": (bool,)}
    fits = isinstance(value, kinds.get(str(given.type), (str,))) and not (number and isinstance(value, bool))
    if fits and number:
        fits = given.metadata["low"] <= value <= given.metadata["high"]
    elif fits and isinstance(value, str):
        fits = value == value.strip() and value.isprintable()
        fits = fits and (not given.metadata["choices"] or value in given.metadata["choices"])
    if not fits:
        raise _fail(given, _rule(given), value)


def _parse(given: dataclasses.Field[Any], text: str) -> Any:
    try:
        match given.type:
            case "int":
                value: Any = int(text) if text.isascii() and text.isdigit() else None
            case "float":
                value = float(text)
            case "bool":
                value = {"true": True, "false": False}[text]
            case _:
                value = text
    except (ValueError, KeyError):
        value = None
    if value is None or (given.type == "float" and value < 0):
        raise _fail(given, _rule(given), text)
    return value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
