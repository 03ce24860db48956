"""Which dataset teaches which task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.table import Table

from soccermaster.tasks.base import Task


class RoutingError(ValueError):
    """A task that no dataset teaches, or a dataset that teaches no task."""


def route(
    tasks: Mapping[str, Task], provides: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """The tasks that each dataset teaches: those whose required fields it provides.

    Args:
        tasks: by name.
        provides: annotation fields of each dataset by name.

    Raises:
        RoutingError: a task is taught by no dataset, or a dataset teaches no task.
    """
    fields = {name: frozenset(given) for name, given in provides.items()}
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
    idle = [source for source, taught in routes.items() if not taught]
    if idle:
        wishes = "; ".join(f"{name}: {', '.join(sorted(t.requires))}" for name, t in tasks.items())
        raise RoutingError(
            f"dataset {idle} teaches none of the selected tasks ({wishes}; datasets provide "
            f"{listing}). Drop the dataset or add a task."
        )
    return routes


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
