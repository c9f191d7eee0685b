"""The names that help texts list, kept here so that `lrp --help` does not load torch.

`tests/test_imports.py` compares them with the tables that they stand for.
"""

MODEL_FORMS = (
    "an .onnx file, a .pt2 file written by torch.export.save, the folder of a checkpoint of"
    " transformers, or module:attribute"
)
REPORT_FORMATS = ("terminal", "json", "junit", "github", "markdown")
ESTIMATORS = (
    "gradient",
    "relp",
    "relp_ah",
    "attnlrp",
    "eap_ig",
    "relp_mid",
    "relp_ig",
    "delta",
    "delta_plus",
)
AUTO = "auto"
