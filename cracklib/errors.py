"""Every error a user can cause or mend.

CrackError
├── PhotoError      a photo that can't be decoded, or is too small or too large
├── DownloadError   a URL that can't be fetched, or must not be
├── WeightsError    weights that are missing, damaged, or of another model
├── DatasetError    a folder of labelled photos that can't be used
├── MeasuredError   measurements that are missing, damaged, or of another model
├── ScaleError      no usable size of a pixel in millimetres
└── TrainingError   a training run that can't start or go on

A message says what happened, what was expected and what came, and what to do.
Any other exception is a bug.
"""


class CrackError(Exception):
    """Base of every error whose message is meant for the user."""


class PhotoError(CrackError):
    """A photo can't be decoded, or is too small or too large."""


class DownloadError(CrackError):
    """A URL can't be fetched, or must not be."""


class WeightsError(CrackError):
    """Weights are missing, damaged, or belong to another model."""


class DatasetError(CrackError):
    """A folder of labelled photos is missing, empty, or not laid out as expected."""


class MeasuredError(CrackError):
    """What was measured of a model is missing, damaged, or of another model."""


class ScaleError(CrackError):
    """The size of a pixel in millimetres can't be found, or is none."""


class TrainingError(CrackError):
    """A training run can't start or go on."""
