"""Pickles from strangers: read by an unpickler that knows dicts, lists, texts, numbers and arrays of bytes only.

CIFAR is published as pickles, and a pickle is a program. Three walls, one behind the other: the size of the file; a
list of the opcodes that may occur, checked before the first one is carried out; and stand-ins for the four names that
a pickled array needs, none of which calls numpy or allocates more than the file itself holds.
"""

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from esacl.errors import InputError

# What Python 2's and Python 3's pickles of protocol 2 to 4 need for such contents. Not among them: INST, OBJ, NEWOBJ
# and EXT, which make objects without being asked for by name, and PERSID.
_OPCODES = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
        *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"),
        *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)
_MEMO_WRITERS = ("BINPUT", "LONG_BINPUT")
_TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
_CONSUMERS = ("REDUCE", "BUILD")  # of a tuple that holds arguments or a state
# So many tuples may be made that nothing consumes at once: an array has two. As a key, one is hashed to its bottom.
_MOST_TUPLES = 16
_MOST_DIMENSIONS, _LONGEST = 4, 2**20  # of an array that may be empty: numpy's own product must not overflow
_BYTE_NAMES = (b"u1", "u1", b"uint8", "uint8")


class _Unsafe(Exception):
    """Why a pickle is refused, in words that follow its path."""


class ArrayOfBytes:
    """What a pickled array of unsigned bytes says of itself; `array()` makes it."""

    __slots__ = ("content", "order", "shape")

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    content: bytes

    def __setstate__(self, state: Any) -> None:
        """Take numpy's state (version, shape, dtype, in Fortran's order, content)."""
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _Unsafe("holds an array without shape and content")
        _, shape, kind, fortran, content = state
        sizes = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if sizes and len(shape) > _MOST_DIMENSIONS:
            raise _Unsafe(f"holds an array of {len(shape)} dimensions")
        if not (sizes and isinstance(kind, _Kind) and isinstance(content, bytes)):
            raise _Unsafe("holds an array of something else than unsigned bytes")
        # Python's integers cannot overflow.
        if math.prod(shape) != len(content) or any(n > max(len(content), _LONGEST) for n in shape):
            raise _Unsafe(f"announces an array of {'x'.join(map(str, shape))} bytes and holds {len(content)}")
        self.shape, self.order, self.content = shape, "F" if fortran else "C", content

    def array(self) -> np.ndarray:
        """The array, read-only uint8; it shares its memory with the pickle's content."""
        if not hasattr(self, "shape"):
            raise _Unsafe("holds an array without shape and content")
        return np.frombuffer(self.content, dtype=np.uint8).reshape(self.shape, order=self.order)


class _StandIn:
    """Stands in for one of numpy's names. A pickle could set attributes of what it has named, so it is told off."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _Unsafe("changes what it has imported: it is a program, not a data set")


def _plain(values: Any) -> None:
    """Refuse a tuple of anything but numbers and texts: a tuple in it could hold another, and so on."""
    if not (
        isinstance(values, tuple) and all(value is None or isinstance(value, int | str | bytes) for value in values)
    ):
        raise _Unsafe("nests what no array needs")


class _Ndarray(_StandIn):
    __slots__ = ()


class _Kind(_StandIn):
    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment mean nothing for single bytes."""
        _plain(state)


class _MakeKind(_StandIn):
    __slots__ = ()

    def __call__(self, *args: Any) -> _Kind:
        _plain(args)
        if not args or args[0] not in _BYTE_NAMES:
            raise _Unsafe("holds an array of something else than unsigned bytes")
        return _Kind()


class _Reconstruct(_StandIn):
    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> ArrayOfBytes:
        if not isinstance(kind, _Ndarray):
            raise _Unsafe("holds an object that is no array")
        _plain(shape)
        return ArrayOfBytes()


class _Encode(_StandIn):
    """`_codecs.encode(text, "latin1")`: how Python 3 writes bytes in protocol 2. All texts together fit the file."""

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise _Unsafe("calls encode for something else than latin1")
        self._left -= len(text)
        if self._left < 0:
            raise _Unsafe("expands to more than its own size")
        return text.encode("latin1")


class _Reader(pickle.Unpickler):
    _NAMES: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
        ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
        ("numpy", "ndarray"): _Ndarray(),
        ("numpy", "dtype"): _MakeKind(),
    }

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), fix_imports=False, encoding="bytes")
        self._encode = _Encode(len(content))

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (module, name) not in self._NAMES:
            asked = re.sub(r"[^!-~]", "?", f"{module}.{name}")[:80]  # a name may be of any characters
            raise _Unsafe(f"asks for {asked}: it is a program, not a data set")
        return self._NAMES[module, name]


def read_pickle(path: Path, most: int, remedy: str) -> dict[str, Any]:
    """The dict in a pickle of at most `most` bytes; keys as text, arrays as `ArrayOfBytes`, Python 2's texts as bytes.

    Raises:
        InputError: unreadable, too large, truncated, or asking for anything but arrays of bytes.
    """
    try:
        if path.stat().st_size > most:
            raise _Unsafe(f"is larger than {most // 2**20} MB, so it is no file of this data set")
        with path.open("rb") as file:
            content = file.read(most + 1)
        _check(content)
        found = _Reader(content).load()
        if not isinstance(found, dict):
            raise _Unsafe("holds no dict")
        return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}
    except _Unsafe as why:
        raise InputError(f"{path} {why}; {remedy}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    except Exception as error:  # a damaged pickle can raise anything
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path} is truncated or corrupt ({cause}); {remedy}") from None


def array_of(value: Any, path: Path, remedy: str) -> np.ndarray:
    """The array of bytes that `read_pickle` found, read-only.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, ArrayOfBytes):
        raise InputError(f"{path} holds no array of images where one is due; {remedy}")
    try:
        return value.array()
    except _Unsafe as why:
        raise InputError(f"{path} {why}; {remedy}") from None


def _check(content: bytes) -> None:
    """Look at every opcode without carrying one out. genops never reads more than there is."""
    tuples, before = 0, ""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        tuples += before in _TUPLES and opcode.name not in (*_CONSUMERS, *_MEMO_WRITERS, "MEMOIZE")
        if tuples > _MOST_TUPLES:
            raise _Unsafe(f"makes more than {_MOST_TUPLES} tuples, which no data set needs")
        if opcode.name not in (*_MEMO_WRITERS, "MEMOIZE"):
            before = opcode.name
        if opcode.name not in _OPCODES:
            raise _Unsafe(f"uses {opcode.name}, which no data set needs")
        if opcode.name in _MEMO_WRITERS and isinstance(argument, int) and argument > count + 1:
            raise _Unsafe("asks for a memo of gigabytes")  # the unpickler allocates up to the largest index
