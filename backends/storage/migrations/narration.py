"""Tell what a migration does, in the words of operations.md 2.4, of each face of the schema."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from backends.storage.migrations import FACES, SchemaError, number, report_current, schema


@dataclass(frozen=True, slots=True)
class Step:
    """One file, and the version that the schema has after it."""

    version: str
    file: pathlib.Path


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """The version found in a database, None when there is none of ours, and the steps that it lacks."""

    found: str | None
    missing: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Narration:
    """What is reported of one run on one database."""

    dialect_name: str
    report: Callable[[str], None]
    dry_run: bool
    versions: pathlib.Path

    def begin(self, plan: MigrationPlan) -> None:
        """Say what was found."""
        if plan.found is None:
            self._say_of_each(f"Create {{schema}} at version {number(plan.missing[-1].version)} from {self.versions}.")
        elif plan.missing:
            self._say_of_each(f"Detected {{schema}} version {number(plan.found)}.")
        else:
            report_current(self.dialect_name, plan.found, self.report)

    def step(self, plan: MigrationPlan, step: Step) -> None:
        """Say which step of an upgrade comes now; those of a new schema are not told one by one."""
        if plan.found is None:
            return
        new = int(step.version)
        for face in FACES:
            self.report(f"Migrate {schema(self.dialect_name, face)} from version {new - 1} to {new}.")
            self.report(f"Execute {schema(self.dialect_name, face).removesuffix('schema')}migration from {step.file}")

    def end(self, plan: MigrationPlan) -> None:
        """Say that all is done that was missing in *plan*."""
        if not plan.missing:
            return
        if plan.found is not None:
            self._say_of_each(f"{{schema}} migration {'simulated' if self.dry_run else 'done'}")
        elif not self.dry_run:
            self._say_of_each(f"Created {{schema}} (version {number(plan.missing[-1].version)}).")

    def refuse_newer(self, found: str, known: str) -> NoReturn:
        """Raise SchemaError: an older program must not guess what a newer one has made."""
        self._say_of_each(f"Detected {{schema}} version {number(found)}.")
        raise SchemaError(
            f"The schema of the database has version {number(found)}, which is newer than version {number(known)} "
            "of this program. Run the newer program. Nothing was changed."
        )

    def _say_of_each(self, line: str) -> None:
        for face in FACES:
            self.report(line.replace("{schema}", schema(self.dialect_name, face)))
