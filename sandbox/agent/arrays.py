"""Values with arrays and tables of numpy and pandas, as the program's and the tests' processes decode them."""

from __future__ import annotations

from typing import Any

import values


class ArrayDecoder(values.Decoder):
    """A decoder that makes arrays and tables, and imports their libraries only when one comes."""

    def array(self, kind: str, shape: list[int], data: bytes) -> Any:
        """A numpy array."""
        import numpy

        return numpy.frombuffer(data, dtype=numpy.dtype("<" + kind)).reshape(shape).copy()

    def values_array(self, shape: list[int], items: list[Any]) -> Any:
        """A numpy array of strings or objects."""
        import numpy

        if all(type(item) is str for item in items):
            return numpy.array(items).reshape(shape)
        array = numpy.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)

    def frame(self, columns: list[Any], index: list[Any], rows: list[Any]) -> Any:
        """A DataFrame."""
        import pandas

        return pandas.DataFrame(rows, index=index, columns=columns).infer_objects()

    def series(self, name: Any, index: list[Any], values: list[Any]) -> Any:
        """A Series."""
        import pandas

        return pandas.Series(values, index=index, name=name)
