"""The errors that a user can mend: one line each, what is wrong, with the value, and what to do."""


class InputError(ValueError):
    """Bad input: a name, a value, a file. The command line prints it and exits with 2."""


class DataMissing(InputError):
    """A data set is neither on disk nor can it be downloaded."""


class RunUnreadable(InputError):
    """A run's folder cannot be understood; names the file and the remedy."""


class CheckpointUnfit(RunUnreadable):
    """A checkpoint can be read and is none of this run: it does not fit what the config says."""


class RunFailure(RuntimeError):
    """A run cannot go on (NaN loss, out of memory, disk full); carries one line for the reader."""


_NO_MEMORY = (
    "can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED", "could not create a primitive",  # this one is oneDNN's
)  # fmt: skip


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory was asked for that the machine or its device has not got."""
    # torch's own error is known by its name, so that the record half need not load torch.
    names = {kind.__name__ for kind in type(error).__mro__}
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or told
