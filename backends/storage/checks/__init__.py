"""Find rows that contradict each other, and repair them (`kinto check`).

Theory of operation:

- **Find.** The rows of a table are read page by page in the order of their key. One statement reads a page, without a
  lock, and returns the keys of the rows that meet the condition of a check. So memory and each statement are bounded,
  and writers are not disturbed.
- **Confirm.** A transaction locks the clocks of the lists of such a row, from the top down, and evaluates the condition
  again. Only then the row is reported: nobody can be writing it. A list without a clock cannot be locked, but nothing
  can start in it while the list above it is locked.
- **Repair** in the same transaction, so that each repair is a whole. A row that is deleted is written out first, as one
  line of JSON. A repair that leads to another fault (a copied object whose count is wrong then) is no dead end: the
  checks of rows come first, those of whole lists last.

`backends.storage.checks.check` has the interface of a check. To add one, add a `Check` to the table of its module: a
condition, the words, a repair.
"""
