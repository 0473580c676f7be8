"""The errors that a user can mend: one line each, what is wrong, with the value, and what to do."""


class InputError(ValueError):
    """Bad input: a name, a value, a file. The command line prints it and exits with 2."""


class DataMissing(InputError):
    """A data set is neither on disk nor can it be downloaded."""


class RunUnreadable(InputError):
    """A run's folder cannot be understood; names the file and the remedy."""


class RunFailure(RuntimeError):
    """A run cannot go on (NaN loss, out of memory, disk full); carries one line for the reader."""
