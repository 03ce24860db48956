"""An extension of griffe: "rows, columns: of the grid" in a docstring describes both arguments."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_GROUP = re.compile(r"^    (\w+(?:,\s+\w+)+): (.*\n?(?:^ {5,}.*\n?)*)", flags=re.MULTILINE)


class GroupedArguments(Extension):
    """Gives every name of a group its own entry."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of a class or function."""
        if obj.docstring is not None:
            obj.docstring.value = _GROUP.sub(_entries, obj.docstring.value)


def _entries(group: re.Match[str]) -> str:
    names, text = re.split(r",\s+", group[1]), group[2].rstrip("\n")
    return "\n".join(f"    {name}: {text}" for name in names) + "\n"
