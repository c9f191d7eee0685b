"""The op table: one short entry per op, a file per family. `table.py` says how to write one."""
