"""Every error this package raises on purpose; each message names the value, the place and the next step."""


class RecsysError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""


class DataError(RecsysError):
    """A table cannot be used as it is."""


class StorageError(DataError):
    """A source, a target, a disk or a cluster failed: nothing is wrong with what was asked for."""


class SettingsError(RecsysError):
    """A settings file, a `--set` value or an argument is wrong."""


class ModelError(RecsysError):
    """A model folder, a state folder or an encoder is missing, damaged or does not fit the data."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; other libraries say a lot."""
    return str(error).strip().partition("\n")[0]
