"""The subcommands of `lrp`, one per file."""
