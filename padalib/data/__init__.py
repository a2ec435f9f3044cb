"""Image sets held whole as uint8."""

from padalib.data.sets import (
    DATASETS,
    SPLITS,
    WHOLE,
    ImageSet,
    check,
    check_fit,
    fingerprint,
    fitted,
    load,
)

__all__ = [
    "DATASETS",
    "SPLITS",
    "WHOLE",
    "ImageSet",
    "check",
    "check_fit",
    "fingerprint",
    "fitted",
    "load",
]
