"""Arrays and tables across the border, where the packages are installed."""

from __future__ import annotations

import pytest

from tests.sandbox_runtime.drive import run_tests

ARRAYS = {
    "returned": ("import numpy as np\ndef f(n): return np.arange(n) * 0.5", "import numpy as np\nassert f(3).shape == (3,) and f(3).dtype == float\nassert np.allclose(f(3), [0, 0.5, 1])"),
    "passed": ("def f(a): return a.sum(axis=0), a.dtype.name", "import numpy as np\ns, d = f(np.ones((2, 3)))\nassert (s == 2).all() and d == 'float64'"),
    "changed in place": ("def f(a): a *= 2", "import numpy as np\na = np.array([1, 2])\nf(a)\nassert a.tolist() == [2, 4]"),
    "scalars": ("import numpy as np\ndef f(n): return np.float64(n) / 4, np.int32(n), np.bool_(n)", "assert f(1) == (0.25, 1, True)"),
    "of words": ("import numpy as np\ndef f(n): return np.array(['a', 'bc'])", "assert list(f(1)) == ['a', 'bc']"),
    "testing": ("import numpy as np\ndef f(n): return np.linspace(0, 1, n)", "import numpy as np\nnp.testing.assert_allclose(f(3), [0, 0.5, 1])\nassert np.isclose(f(3)[1], 0.5)"),
    "booleans and complex": ("import numpy as np\ndef f(n): return np.array([True]), np.array([1j])", "a, b = f(1)\nassert a[0] and b[0] == 1j"),
}  # fmt: skip
TABLES = {
    "returned": (
        "import pandas as pd\ndef f(n): return pd.DataFrame({'a': range(n), 'b': list('xyz')[:n]})",
        "import pandas as pd\npd.testing.assert_frame_equal(f(2), pd.DataFrame({'a': [0, 1], 'b': ['x', 'y']}))\nassert f(3).shape == (3, 2)",
    ),
    "passed": (
        "def f(t): return t.groupby('k')['v'].sum()",
        "import pandas as pd\nt = pd.DataFrame({'k': ['a', 'b', 'a'], 'v': [1, 2, 3]})\nassert f(t).to_dict() == {'a': 4, 'b': 2}",
    ),
    "missing values": (
        "import pandas as pd\ndef f(t): return t.fillna(0.0)",
        "import pandas as pd\nt = pd.DataFrame({'a': [1.5, None]})\nassert f(t)['a'].tolist() == [1.5, 0.0]",
    ),
    "index": ("def f(s): return s.index", "import pandas as pd\nassert list(f(pd.Series([1, 2], index=['x', 'y']))) == ['x', 'y']"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "tests"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays(source: str, tests: str) -> None:
    pytest.importorskip("numpy")
    result = run_tests(source, tests)
    assert (result["status"], result["flags"]) == ("ok", []), result


@pytest.mark.parametrize(("source", "tests"), TABLES.values(), ids=TABLES.keys())
def test_tables(source: str, tests: str) -> None:
    pytest.importorskip("pandas")
    result = run_tests(source, tests)
    assert (result["status"], result["flags"]) == ("ok", []), result


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np\nclass A(np.ndarray):\n    def __eq__(s, o): return np.array([True])\ndef f(n): return np.zeros(3).view(A)",
        "import numpy as np\ndef f(n): return np.array([object()] * 3)",
        "class A:\n    def __array__(s, *a, **k):\n        import numpy\n        return numpy.array([0, 0.5, 1])\n    __eq__ = lambda s, o: True\ndef f(n): return A()",
        "class A:\n    __array_interface__ = {'shape': (3,), 'typestr': '<f8', 'data': (0, True), 'version': 3}\ndef f(n): return A()",
        "import numpy as np\nnp.allclose = lambda *a: True\ndef f(n): return 7",
        "import numpy as np\ndef f(n): return np.full(3, np.nan)",
    ],
)
def test_no_array_lies(source: str) -> None:
    pytest.importorskip("numpy")
    result = run_tests(source, "import numpy as np\nassert np.allclose(f(3), [0, 0.5, 1])")
    assert result["status"] == "tests_failed", result
