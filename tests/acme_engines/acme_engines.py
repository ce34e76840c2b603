"""A third party's engine and record that hang on command, inside a library that lets Python's other threads go on."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from pathlib import Path

from edge_inspect.model_folder import ModelFolder
from edge_inspect.outputs.database import open_database
from edge_inspect.runtimes.onnx_runtime import open_onnx

MUTEX_BYTES = 64
"""At least what a `pthread_mutex_t` takes; zeros are one that nobody holds."""


def hang():
    """For ever, in C: no signal interrupts a lock, so that Python's handlers, which the main thread calls, are never called."""
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(MUTEX_BYTES)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


class Engine:
    """ONNX Runtime, until the file `told` is there."""

    def __init__(self, engine, told):
        self._engine, self._told = engine, told

    def infer(self, pixels, placement):
        if self._told.exists():
            hang()
        return self._engine.infer(pixels, placement)


@contextmanager
def open_acme(*, model: ModelFolder, told: Path):
    """Open the engine; each `infer` hangs from the moment that the file `told` is there."""
    with open_onnx(model=model, threads=1) as engine:
        yield Engine(engine, told)


class Record:
    """The database, until the file `told` is there."""

    def __init__(self, database, told):
        self._database, self._told = database, told

    def holds(self, sequence):
        return self._database.holds(sequence)

    def emit(self, inspection):
        if self._told.exists():
            hang()
        self._database.emit(inspection)


@contextmanager
def open_record(*, station: str, path: Path, told: Path):
    """Open the record; each `emit` hangs from the moment that the file `told` is there."""
    with open_database(station=station, path=path) as database:
        yield Record(database, told)
