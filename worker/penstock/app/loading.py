"""From an import path such as `shop.jobs:app` to the App.

The only import by name, and the name comes from whoever starts the process, never from the database. Every way to fail
is one `ConfigurationError`; where the module itself fails, it names the line.
"""

from __future__ import annotations

import importlib
import traceback

from ..errors import ConfigurationError
from ..settings import Settings
from .app import App


def load_app(path: str) -> App:
    """The App at an import path such as `shop.jobs:app`. Imports the module.

    Raises:
        ConfigurationError: no such module or attribute, the module fails when it is imported, or it is no App.
    """
    module_name, _, attribute = Settings(app=path).app.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"app {path!r}: there is no module {error.name!r} here") from error
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
