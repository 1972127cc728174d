"""The errors a user can cause. Each message is one sentence: what, where, what to do. Commands print it and exit 2."""


class SuiteError(Exception):
    """Base of every error that the suite raises on purpose."""

    exit_code = 2


class ConfigError(SuiteError):
    """A YAML file, an override or a command-line value that does not fit; lists every fault it found."""


class WeightsError(SuiteError):
    """A weight file that is missing, damaged, unsafe or made for another network."""


class ImageError(SuiteError):
    """A picture that cannot be read or used."""


class NoFaceError(ImageError):
    """A picture in which no face was found."""


class VideoError(SuiteError):
    """A clip that cannot be read or used."""


class DataError(SuiteError):
    """A data folder that holds too little, or nothing that can be read."""


class OutputError(SuiteError):
    """A result that cannot be written, or that would overwrite a file of the user's."""


class ExportError(SuiteError):
    """A network that cannot be written in another format, or whose file does not give what the network gives."""


class MissingExtra(SuiteError):
    """A package that an optional part needs is not installed; names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package '{package}': in the suite's folder, pip install \".[{extra}]\".")


class Diverged(SuiteError):
    """A loss became infinite or not a number; names the step, the loss and the last good checkpoint."""
