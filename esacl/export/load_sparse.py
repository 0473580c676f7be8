"""Reads a compact sparse file with numpy alone: copy these lines to where the network is used."""

import json

import numpy as np


def load(path):  # type: ignore[no-untyped-def]
    """(header, {name: float32 array}) of the file at `path`."""
    with open(path, "rb") as file:
        if file.read(8) != b"ESACLSP1":
            raise ValueError(f"{path} is no compact sparse file")
        header, data = json.loads(file.read(int.from_bytes(file.read(4), "little"))), file.read()
    tensors = {}
    for one in header["tensors"]:
        places, values = data[one["start"] : one["middle"]], np.frombuffer(data[one["middle"] : one["end"]], "<f4")
        flat = np.zeros(int(np.prod(one["shape"], dtype=int)), np.float32)
        if one["encoding"] == "bitmask":
            flat[np.unpackbits(np.frombuffer(places, np.uint8), bitorder="little")[: flat.size].astype(bool)] = values
        elif one["encoding"] == "gaps":
            steps = np.frombuffer(places, np.uint8).astype(np.int64)
            flat[(np.cumsum(steps + (steps < 255)) - 1)[steps < 255]] = values
        elif one["encoding"] == "csr":
            rows = np.frombuffer(places[: 4 * one["shape"][0]], "<u4")
            columns = np.frombuffer(places[4 * one["shape"][0] :], "<u2")
            flat.reshape(len(rows), -1)[np.repeat(np.arange(len(rows)), rows), columns] = values
        else:
            flat[:] = values
        tensors[one["name"]] = flat.reshape(one["shape"])
    return header, tensors
