"""Define the engine's own ops, where torch has none, and kernels that torch's own ops lack."""

from .fake_quantisation import describe_fake_quantisers as describe_fake_quantisers
from .recurrence import linear_recurrence as linear_recurrence
from .steps import end_steps as end_steps
from .steps import run_steps as run_steps
