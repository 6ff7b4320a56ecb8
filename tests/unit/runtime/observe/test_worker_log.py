"""Whatever the application does to `logging`, what the worker has to say is on standard error, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from penstock.runtime.observe.worker_log import NAMES

ROOT = Path(__file__).parents[4]

SCRIPT = '''
import configparser, io, json, logging, logging.config, os, sys, threading, time

from penstock.runtime.observe import logs

logs.configure("info", "text")
worker = logging.getLogger("penstock.worker")


class Intercept(logging.Handler):
    """As loguru's and structlog's documentation has it."""

    def emit(self, record):
        print(f"intercepted {record.getMessage()}", file=sys.stdout, flush=True)


class Raising(logging.Handler):
    def emit(self, record):
        raise SystemExit(record.getMessage())


class Blocking(logging.Handler):
    def emit(self, record):
        time.sleep(600)


class Wordless:
    def __str__(self):
        raise KeyboardInterrupt


def no_record(*args, **kwargs):
    raise RuntimeError("no record")


CONFIG = """
[loggers]
keys=root
[handlers]
keys=
[formatters]
keys=
[logger_root]
level=CRITICAL
handlers=
"""


def file_config():
    parser = configparser.ConfigParser()
    parser.read_string(CONFIG)
    logging.config.fileConfig(parser)


def removed():
    for handler in list(logging.root.handlers):
        logging.root.removeHandler(handler)


def with_handler(handler):
    logging.root.addHandler(handler)


def each(what):
    for name in list(logging.Logger.manager.loggerDict):
        what(logging.getLogger(name))


def closed_streams():
    sys.stderr.close()
    sys.stdout.close()


def app_error_tool():
    before = logging.Logger.callHandlers

    def patched(self, record):
        before(self, record)
        print(f"reported {record.getMessage()}", flush=True)

    logging.Logger.callHandlers = patched


def in_json():
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("their format %(message)s"))
    logging.basicConfig(handlers=[handler], level="DEBUG", force=True)


CASES = {
    "nothing": lambda: None,
    "dictConfig": lambda: logging.config.dictConfig({"version": 1}),
    "dictConfig that names us": lambda: logging.config.dictConfig(
        {"version": 1, "loggers": {"penstock": {"level": "CRITICAL", "handlers": [], "propagate": False}}}
    ),
    "fileConfig": file_config,
    "basicConfig": lambda: logging.basicConfig(level="CRITICAL", force=True),
    "in their format": in_json,
    "disable": lambda: logging.disable(logging.CRITICAL),
    "root handlers removed": removed,
    "no propagation": lambda: each(lambda logger: setattr(logger, "propagate", False)),
    "all disabled": lambda: each(lambda logger: setattr(logger, "disabled", True)),
    "all levels raised": lambda: each(lambda logger: logger.setLevel(100)),
    "root level raised": lambda: logging.root.setLevel(100),
    "all filtered": lambda: each(lambda logger: logger.addFilter(lambda _: False)),
    "intercepted": lambda: logging.basicConfig(handlers=[Intercept()], level=0, force=True),
    "a handler that raises": lambda: with_handler(Raising()),
    "a handler that blocks": lambda: with_handler(Blocking()),
    "a record factory that raises": lambda: logging.setLogRecordFactory(no_record),
    "all handlers closed": logging.shutdown,
    "the streams closed": closed_streams,
    "the streams replaced": lambda: (setattr(sys, "stderr", io.StringIO()), setattr(sys, "stdout", io.StringIO())),
    "an error tool": app_error_tool,
}

for name, change in CASES.items():
    if (pid := os.fork()) == 0:
        try:
            change()
            for _ in range(3):
                worker.info("said %s", name)
            worker.warning("%s %s", Wordless(), name)
            worker.debug("too much of %s", name)
            time.sleep(0.05 if name in {"intercepted", "an error tool"} else 0)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
print(json.dumps(list(CASES)))
'''


def test_the_worker_is_heard_whatever_the_application_configures():
    """Each line once and in the worker's format, at the worker's level; no handler of others keeps it or slows it."""
    command = [sys.executable, "-c", SCRIPT]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    *others, last = ended.stdout.splitlines()
    names = json.loads(last)
    lines = ended.stderr.splitlines()
    for name in names:
        said = [line for line in lines if line.endswith(f"INFO    penstock.worker: said {name}")]
        assert len(said) == 3, (name, ended.stderr)
    assert ended.stderr.count("cannot be shown: KeyboardInterrupt") == len(names)
    assert "too much" not in ended.stderr
    assert others.count("intercepted said intercepted") == 3
    assert others.count("reported said an error tool") == 3
    assert not [line for line in others if "their format" in line]


def test_every_logger_of_the_worker_is_one_that_is_always_written():
    """What a module of the worker logs to must be on the list."""
    found: set[str] = set()
    for path in (ROOT / "worker" / "penstock").rglob("*.py"):
        found.update(re.findall(r'getLogger\("(penstock[^"]*)"\)', path.read_text(encoding="utf-8")))
    assert found <= set(NAMES), "add it to NAMES in worker_log.py"
