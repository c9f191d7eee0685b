"""Read data, one file per kind: texts, images, series and sound, tables, arrays."""
