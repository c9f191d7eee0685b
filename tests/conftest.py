"""Settings that must be in force before torch is loaded."""

import os

# MKL rounds by where in memory its operands lie unless told otherwise: on some CPUs a model run
# twice differs in the last bit, and a test of equal bits would fail by chance.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
