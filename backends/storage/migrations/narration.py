"""Report the steps of a migration in the words of operations.md 2.4, by each name that the schema has there."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from backends.storage.migrations import Schema, SchemaError, report_current, schema_label, version_label


@dataclass(frozen=True, slots=True)
class Step:
    """One file of the folder `versions`, and the version of the schema after it."""

    version: str
    file: pathlib.Path


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """The version installed in a database, None if there is none, and the steps that are missing."""

    installed: str | None
    missing: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Narration:
    """The report of one run on one database."""

    dialect_name: str
    report: Callable[[str], None]
    dry_run: bool
    schema: Schema

    def begin(self, plan: MigrationPlan) -> None:
        """Report the installed version, or that the schema will be created."""
        if plan.installed is None:
            self._report_for_each(
                f"Create {{schema}} at version {version_label(plan.missing[-1].version)} from {self.schema.versions}."
            )
        elif plan.missing:
            self._report_for_each(f"Detected {{schema}} version {version_label(plan.installed)}.")
        else:
            report_current(self.dialect_name, self.schema, self.report)

    def step(self, plan: MigrationPlan, step: Step) -> None:
        """Report the next step of an upgrade; the steps of a new schema are not reported one by one."""
        if plan.installed is None:
            return
        new = int(step.version)
        for name in self.schema.names:
            label = schema_label(self.dialect_name, name)
            self.report(f"Migrate {label} from version {new - 1} to {new}.")
            self.report(f"Execute {label.removesuffix('schema')}migration from {step.file}")

    def end(self, plan: MigrationPlan) -> None:
        """Report that all steps that were missing in *plan* are done."""
        if not plan.missing:
            return
        if plan.installed is not None:
            self._report_for_each(f"{{schema}} migration {'simulated' if self.dry_run else 'done'}")
        elif not self.dry_run:
            self._report_for_each(f"Created {{schema}} (version {version_label(plan.missing[-1].version)}).")

    def refuse_newer(self, installed: str, newest: str) -> NoReturn:
        """Raise SchemaError: an older program must not touch the schema of a newer one.

        *newest* is the newest version that this program has.
        """
        self._report_for_each(f"Detected {{schema}} version {version_label(installed)}.")
        raise SchemaError(
            f"The {self.schema.names[0]} schema of the database has version {version_label(installed)}, which is newer "
            f"than version {version_label(newest)} of this program. Run the newer program. Nothing was changed."
        )

    def _report_for_each(self, line: str) -> None:
        for name in self.schema.names:
            self.report(line.replace("{schema}", schema_label(self.dialect_name, name)))
