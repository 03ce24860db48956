"""Which dataset teaches which task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from soccermaster.tasks.base import Task


class RoutingError(ValueError):
    """A task that no dataset teaches."""


def route(
    tasks: Mapping[str, Task], provides: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """The tasks that each dataset teaches: those whose required fields it provides.

    A dataset that teaches none of them gets no route; the caller leaves it out.

    Args:
        tasks: by name.
        provides: annotation fields of each dataset by name.

    Raises:
        RoutingError: a task is taught by no dataset, or there is no task.
    """
    fields = {name: frozenset(given) for name, given in provides.items()}
    if not tasks:
        raise RoutingError("expected at least one task, got none. Add task=[...].")
    listing = "; ".join(f"{name}: {', '.join(sorted(given))}" for name, given in fields.items())
    for name, task in tasks.items():
        if not any(task.requires <= given for given in fields.values()):
            raise RoutingError(
                f"task '{name}' learns from {{{', '.join(sorted(task.requires))}}}, but no "
                f"selected dataset provides it ({listing}). Add a dataset that does, or drop the "
                "task."
            )
    routes = {
        source: tuple(name for name, task in tasks.items() if task.requires <= given)
        for source, given in fields.items()
    }
    return {source: taught for source, taught in routes.items() if taught}


def taught_tasks(
    tasks: Mapping[str, Task], provides: Mapping[str, Iterable[str]]
) -> dict[str, Task]:
    """Those of `tasks` that some dataset teaches (and can therefore score)."""
    fields = [frozenset(given) for given in provides.values()]
    return {name: t for name, t in tasks.items() if any(t.requires <= given for given in fields)}


def routing_table(
    tasks: Mapping[str, Task], provides: Mapping[str, Iterable[str]], sizes: Mapping[str, int]
) -> Table:
    """The routes as a table: one row per task, with the datasets that teach it."""
    routes = route(tasks, provides)
    table = Table(title="Routing")
    table.add_column("task")
    table.add_column("learns from")
    table.add_column("taught by")
    for name, task in tasks.items():
        teachers = [f"{d} ({sizes[d]} clips)" for d, taught in routes.items() if name in taught]
        table.add_row(name, ", ".join(sorted(task.requires)), ", ".join(teachers))
    return table
