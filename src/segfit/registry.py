"""Names to builders: how a recipe's ``model.name: unet`` finds the function that builds a UNet.

A registry belongs to one package (``segfit.models``): on first use it imports every module of that package, so
adding a file is all it takes to add a component. Other distributions join through the entry-point group of the
same name. A builder's keyword-only parameters are the options that a recipe may set; they are checked here.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from segfit.errors import RecipeError, did_you_mean

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Builders of one kind of component, found by name.

    Args:
        kind: what the components are, for messages (``"model"``).
        package: the package whose modules register themselves (``"segfit.models"``); also the entry-point group.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._builders: dict[str, Callable[..., T]] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorate a class or function so that recipes can name it."""

        def keep(builder: Callable[..., T]) -> Callable[..., T]:
            if self._builders.get(name, builder) is not builder:
                raise RecipeError(f"two {self.kind}s are called {name!r}: rename one of them")
            self._builders[name] = builder
            return builder

        return keep

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        self._discover()
        return sorted(self._builders)

    def get(self, name: str) -> Callable[..., T]:
        """Return the builder called `name`.

        Raises:
            RecipeError: no such component; the message names the closest one.
        """
        self._discover()
        try:
            return self._builders[name]
        except KeyError:
            raise RecipeError(f"no {self.kind} is called {name!r}{did_you_mean(name, self._builders)}") from None

    def options(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check the options given for `name` against its builder and fill in the defaults.

        Returns:
            Every option of the builder with its value, converted to the annotated type.

        Raises:
            RecipeError: an unknown option, a missing one, or a value of the wrong type.
        """
        parameters = self.signature(name)
        for key in given:
            if key not in parameters:
                raise RecipeError(
                    f"{self.kind}.{key}: {self.kind} {name!r} has no such option{did_you_mean(key, parameters)}"
                )
        options: dict[str, Any] = {}
        for key, (hint, default) in parameters.items():
            if key not in given and default is ...:
                raise RecipeError(f"{self.kind}.{key}: {self.kind} {name!r} needs this option")
            value = given.get(key, default)
            try:
                options[key] = TypeAdapter(hint).validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise RecipeError(f"{self.kind}.{key}: {value!r}: {reason}") from None
        return options

    def signature(self, name: str) -> dict[str, tuple[Any, Any]]:
        """Return each option of `name` with its type and its default (`...` where it has none)."""
        builder = self.get(name)
        hints = get_type_hints(builder.__init__ if inspect.isclass(builder) else builder, include_extras=True)
        return {
            p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default)
            for p in inspect.signature(builder).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def build(self, name: str, /, *args: Any, **options: Any) -> T:
        """Build the component `name` with positional `args` and checked `options`."""
        return self.get(name)(*args, **self.options(name, options))

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
            importlib.import_module(module.name)
        for entry in entry_points(group=self.package):
            self.register(entry.name)(entry.load())
