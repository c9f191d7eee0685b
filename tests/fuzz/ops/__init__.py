"""All rows of the generator, by name."""

from tests.fuzz.ops import (
    indexing,
    integers,
    masks,
    norms,
    pointwise,
    pooling,
    products,
    reductions,
    shapes,
    writes,
)
from tests.fuzz.rows import Row

FAMILIES = {
    module.__name__.rpartition(".")[2]: tuple(module.ROWS)
    for module in (pointwise, shapes, reductions, indexing, writes, products, pooling, norms,
                   integers, masks)
}  # fmt: skip
ROWS: tuple[Row, ...] = tuple(row for rows in FAMILIES.values() for row in rows)
