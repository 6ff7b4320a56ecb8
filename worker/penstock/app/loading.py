"""Loads the App at an import path such as `shop.jobs:app`.

This is the only import by name, and the name comes from the command line or the environment, never from the database.
Every failure is a `ConfigurationError`; if the module itself fails, the message names the line.
"""

from __future__ import annotations

import importlib
import traceback

from ..errors import ConfigurationError
from ..settings import Settings
from .app import App


def load_app(path: str) -> App:
    """Import a module and return the App in it, as for `shop.jobs:app`.

    Raises:
        ConfigurationError: there is no such module or attribute, its import fails, or it is not an App.
    """
    module_name, _, attribute = Settings(app=path).app.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"app {path!r}: there is no module {error.name!r}") from error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename}, line {frame.lineno}"
        raise ConfigurationError(
            f"app {path!r}: importing {module_name} failed with {type(error).__name__}: {error} ({where})"
        ) from error
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        got = f"is {type(app).__name__}, not an App" if hasattr(module, attribute) else "does not exist"
        raise ConfigurationError(f"app {path!r}: {attribute!r} in module {module_name} {got}")
    return app
