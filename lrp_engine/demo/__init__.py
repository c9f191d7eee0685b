"""The demo: a small trained digits classifier, and the sheet of its explanations."""

from .digits import DigitsNet, digits_test_split, load_digits_net

__all__ = ["DigitsNet", "digits_test_split", "load_digits_net"]
