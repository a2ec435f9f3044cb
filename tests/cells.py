"""Samplers as they are typed into cells: pairs that differ, each in one thing."""

import itertools
import linecache

HEAD = """
import collections, dataclasses, enum, functools, itertools, math, operator, random, re, types
from typing import Any, NamedTuple
import numpy as np
import torch
from padalib.samplers import (
    BalancedPaths, DataSampler, ProductPaths, FairPaths, GradNormPaths, PathSampler, Shuffled,
    UniformPaths,
)
"""
CLASS = "class Mine(PathSampler):\n"
DRAW = CLASS + "    def draw(self, generator):\n        return "
GENERIC = DRAW + "use(K)\ndef use(k): return k\n"

# Name -> (cell, what is replaced in it, by what).
PAIRS = {
    # the class itself
    "own code": (DRAW + "(1, 1, 1)", "(1, 1, 1)", "(1, 1, 2)"),
    "class attribute": (
        CLASS + "    k = 1\n    def draw(self, g): return self.k",
        "k = 1",
        "k = 2",
    ),
    "type of an attribute": (CLASS + "    k = 1\n", "k = 1", "k = True"),
    "private attribute": (CLASS + "    __k = 1\n", "__k = 1", "__k = 2"),
    "docstring as data": (
        CLASS + "    'ab'\n    def draw(self, g): return self.__doc__",
        "ab",
        "ac",
    ),
    "annotations as data": (CLASS + "    k: int\n", "int", "float"),
    "slots": (CLASS + "    __slots__ = ('a',)\n", "'a'", "'b'"),
    "static method": (CLASS + "    @staticmethod\n    def f(): return 1\n", "return 1", "return 2"),
    "class method": (CLASS + "    @classmethod\n    def f(c): return 1\n", "return 1", "return 2"),
    "static or not": (
        CLASS + "    @staticmethod\n    def f(*a): 1\n",
        "staticmethod",
        "classmethod",
    ),
    "property": (CLASS + "    @property\n    def p(self): return 1\n", "return 1", "return 2"),
    "setter": (
        CLASS + "    @property\n    def p(s): 1\n    @p.setter\n    def p(s, v): s.k = 1\n",
        "s.k = 1",
        "s.k = 2",
    ),
    "cached property": (
        CLASS + "    @functools.cached_property\n    def p(self): return 1\n",
        "return 1",
        "return 2",
    ),
    "inner class": (CLASS + "    class Inner:\n        k = 1\n", "k = 1", "k = 2"),
    "descriptor": (
        "class D:\n    def __init__(s, k): s.k = k\n    def __get__(s, *a): return s.k\n"
        + CLASS
        + "    d = D(1)\n",
        "D(1)",
        "D(2)",
    ),
    "code of a descriptor": (
        "class D:\n    def __get__(s, *a): return 1\n" + CLASS + "    d = D()\n",
        "return 1",
        "return 2",
    ),
    "metaclass": (
        "class Meta(type):\n    def __call__(c, *a): return 1\n"
        "class Mine(PathSampler, metaclass=Meta): 0",
        "return 1",
        "return 2",
    ),
    "class decorator": (
        "def deco(c):\n    c.k = 1\n    return c\n@deco\nclass Mine(PathSampler): 0",
        "c.k = 1",
        "c.k = 2",
    ),
    # bases
    "base of padalib": ("class Mine(UniformPaths): 0", "UniformPaths", "BalancedPaths"),
    "fair or by gradient": ("class Mine(FairPaths): 0", "FairPaths", "GradNormPaths"),
    "own base": (
        "class Base(PathSampler):\n    def draw(self, g): return 1\nclass Mine(Base): 0",
        "return 1",
        "return 2",
    ),
    "base called the same": (
        "class Base(UniformPaths): 0\nclass Mine(Base): 0",
        "Base(UniformPaths)",
        "Base(BalancedPaths)",
    ),
    "order of bases": (
        "class A:\n    k = 1\nclass B:\n    k = 2\nclass Mine(A, B, PathSampler): 0",
        "(A, B,",
        "(B, A,",
    ),
    "what __init_subclass__ does": (
        "class Base(PathSampler):\n    def __init_subclass__(c): c.k = 1\nclass Mine(Base): 0",
        "c.k = 1",
        "c.k = 2",
    ),
    "super()": (
        "class Base(PathSampler):\n    def f(s): return 1\n"
        "class Mine(Base):\n    def f(s): return super().f()",
        "return 1",
        "return 2",
    ),
    # functions it uses
    "function": (DRAW + "f()\ndef f(): return 1", "return 1", "return 2"),
    "function of a function": (
        DRAW + "f()\ndef f(): return g()\ndef g(): return 1",
        "return 1",
        "return 2",
    ),
    "function in a comprehension": (
        DRAW + "[f(k) for k in range(3)]\ndef f(k): return k",
        "return k",
        "return -k",
    ),
    "default": (DRAW + "f()\ndef f(k=1): return k", "k=1", "k=2"),
    "keyword default": (DRAW + "f()\ndef f(*, k=1): return k", "k=1", "k=2"),
    "mutable default": (DRAW + "f()\ndef f(k=[1]): return k", "[1]", "[2]"),
    "attribute of a function": (DRAW + "f.k\ndef f(): 0\nf.k = 1", "f.k = 1", "f.k = 2"),
    "closure": (
        "def make(k):\n    def f(): return k\n    return f\nf = make(1)\n" + DRAW + "f()",
        "make(1)",
        "make(2)",
    ),
    "nonlocal": (
        "def make(k):\n    def f():\n        nonlocal k\n        k += 0\n        return k\n"
        "    return f\nf = make(1)\n" + DRAW + "f()",
        "make(1)",
        "make(2)",
    ),
    "decorator": (
        "def by(k): return lambda f: lambda *a: (k, f(*a))\n"
        + CLASS
        + "    @by(1)\n    def draw(self, g): return 0",
        "by(1)",
        "by(2)",
    ),
    "what a decorator wraps": (
        "def by(f):\n    @functools.wraps(f)\n    def g(*a): return f(*a)\n    return g\n"
        + CLASS
        + "    @by\n    def draw(self, g): return 1",
        "return 1",
        "return 2",
    ),
    "the wrapper itself": (
        "def by(f):\n    @functools.wraps(f)\n    def g(*a): return f(*a)\n    return g\n"
        + CLASS
        + "    @by\n    def draw(self, g): return 1",
        "return f(*a)",
        "return 2 * f(*a)",
    ),
    "no_grad around it": (
        CLASS + "    @torch.no_grad()\n    def draw(self, g): return 1",
        "return 1",
        "return 2",
    ),
    "partial": (
        "def f(k): return k\nK = functools.partial(f, 1)\n" + DRAW + "K()",
        "partial(f, 1)",
        "partial(f, 2)",
    ),
    "function in a partial": (
        "def f(): return 1\nK = functools.partial(f)\n" + DRAW + "K()",
        "return 1",
        "return 2",
    ),
    "partial method": (
        CLASS + "    def f(self, k): return k\n    draw = functools.partialmethod(f, 1)",
        "(f, 1)",
        "(f, 2)",
    ),
    "cached function": (
        "@functools.lru_cache\ndef f(): return 1\n" + DRAW + "f()",
        "return 1",
        "return 2",
    ),
    "single dispatch": (
        "@functools.singledispatch\ndef f(x): 0\n@f.register\ndef _(x: int): return 1\n"
        + DRAW
        + "f(3)",
        "return 1",
        "return 2",
    ),
    "context manager": (
        "import contextlib\n@contextlib.contextmanager\ndef f(): yield 1\n" + DRAW + "f()",
        "yield 1",
        "yield 2",
    ),
    "bound method": (
        "class A:\n    def __init__(s, k): s.k = k\n    def f(s): return s.k\nf = A(1).f\n"
        + DRAW
        + "f()",
        "A(1)",
        "A(2)",
    ),
    "which bound method": (
        "class A:\n    def f(s): return 1\n    def g(s): return 2\nK = A().f\n" + DRAW + "K()",
        "A().f",
        "A().g",
    ),
    "bound method of a list": ("K = [1].index\n" + GENERIC, "[1]", "[2]"),
    "which function": (
        "def f(): return 1\ndef g(): return 2\nK = f\n" + DRAW + "K()",
        "K = f",
        "K = g",
    ),
    "which function of torch": ("K = torch.sin\n" + GENERIC, "torch.sin", "torch.cos"),
    "which module": ("import math as K\n" + GENERIC, "import math", "import cmath"),
    "two lambdas called the same": (
        "K = (lambda: 1, lambda: 2)\n" + GENERIC,
        "(lambda: 1, lambda: 2)",
        "(lambda: 2, lambda: 1)",
    ),
    "operator": ("K = operator.itemgetter(1)\n" + GENERIC, "(1)", "(2)"),
    "patched afterwards": (
        CLASS + "    def draw(self, g): return 1\ndef other(self, g): return 2\nMine.draw = other",
        "\nMine.draw = other",
        "",
    ),
    # values
    "int or str": ("K = 1\n" + GENERIC, "K = 1", "K = '1'"),
    "int or bool": ("K = 1\n" + GENERIC, "K = 1", "K = True"),
    "int or float": ("K = 1\n" + GENERIC, "K = 1", "K = 1.0"),
    "sign of zero": ("K = 0.0\n" + GENERIC, "K = 0.0", "K = -0.0"),
    "zero or nan": ("K = 0.0\n" + GENERIC, "0.0", "math.nan"),
    "the last bit": ("K = 0.3\n" + GENERIC, "0.3", "0.1 + 0.2"),
    "bytes or str": ("K = 'a'\n" + GENERIC, "'a'", "b'a'"),
    "list or tuple": ("K = [1]\n" + GENERIC, "[1]", "(1,)"),
    "a text that looks like two": ("K = ['a', 'b']\n" + GENERIC, "'a', 'b'", "\"a', 'b\""),
    "long texts": ("K = 'a' * 999\n" + GENERIC, "* 999", "* 998"),
    "key of a dict": ("K = {1: 0}\n" + GENERIC, "{1:", "{'1':"),
    "order of a dict": ("K = {1: 0, 2: 0}\n" + GENERIC, "{1: 0, 2: 0}", "{2: 0, 1: 0}"),
    "default of a dict": (
        "K = collections.defaultdict(int)\n" + GENERIC,
        "(int)",
        "(float)",
    ),
    "kind of dict": ("K = dict(a=1)\n" + GENERIC, "dict(", "collections.OrderedDict("),
    "set or frozenset": ("K = {1}\n" + GENERIC, "{1}", "frozenset({1})"),
    "set": ("K = {'a', 'b'}\n" + GENERIC, "{'a', 'b'}", "{'a', 'c'}"),
    "length of a deque": ("K = collections.deque([1], 2)\n" + GENERIC, ", 2)", ", 3)"),
    "dtype of an array": ("K = np.ones(2, 'f4')\n" + GENERIC, "'f4'", "'f8'"),
    "shape of an array": ("K = np.ones((2, 1))\n" + GENERIC, "(2, 1)", "(1, 2)"),
    "array of objects": (
        "K = np.array([1, '1'], dtype=object)\n" + GENERIC,
        "[1, '1']",
        "['1', 1]",
    ),
    "large array": ("K = np.arange(9999)\n" + GENERIC, "(9999)", "(9999); K[5000] = 0"),
    "number of numpy": ("K = np.float32(1)\n" + GENERIC, "float32", "float64"),
    "dtype of a tensor": ("K = torch.ones(2)\n" + GENERIC, "(2)", "(2).double()"),
    "large tensor": ("K = torch.zeros(9999)\n" + GENERIC, "(9999)", "(9999); K[5000] = -0.0"),
    "tensor or array": ("K = torch.ones(2)\n" + GENERIC, "torch.ones(2)", "np.ones(2, 'f4')"),
    "a dtype": ("K = torch.float32\n" + GENERIC, "float32", "float64"),
    "layer": (
        "K = torch.nn.Linear(1, 1)\nK.weight.data[:] = 1; K.bias.data[:] = 0\n" + GENERIC,
        "data[:] = 1",
        "data[:] = 2",
    ),
    "enum": (
        "class E(enum.Enum):\n    A = 1\n    B = 2\nK = E.A\n" + GENERIC,
        "K = E.A",
        "K = E.B",
    ),
    "value of an enum": (
        "class E(enum.IntEnum):\n    A = 1\n    B = 2\nK = E.A\n" + GENERIC,
        "A = 1",
        "A = 3",
    ),
    "other members of an enum": (
        "class E(enum.Enum):\n    A = 1\n    B = 2\nK = E.A\n" + GENERIC,
        "B = 2",
        "B = 3",
    ),
    "data class": (
        "@dataclasses.dataclass\nclass D:\n    k: int\nK = D(1)\n" + GENERIC,
        "D(1)",
        "D(2)",
    ),
    "default of a data class": (
        "@dataclasses.dataclass\nclass D:\n    k: int = 1\nK = D\n" + GENERIC,
        "k: int = 1",
        "k: int = 2",
    ),
    "factory of a data class": (
        "@dataclasses.dataclass\nclass D:\n    k: Any = dataclasses.field(default_factory=list)\n"
        "K = D\n" + GENERIC,
        "=list",
        "=dict",
    ),
    "named tuple": (
        "class N(NamedTuple):\n    k: int\nK = N(1)\n" + GENERIC,
        "N(1)",
        "N(2)",
    ),
    "name of a named tuple's field": (
        "N = collections.namedtuple('N', 'a b')\nK = N(1, 2)\n" + GENERIC,
        "'a b'",
        "'b a'",
    ),
    "object whose text is the same": (
        "class A:\n    def __init__(s, k): s.k = k\n    def __repr__(s): return 'A'\n"
        "    __str__ = __repr__\nK = A(1)\n" + GENERIC,
        "A(1)",
        "A(2)",
    ),
    "class of an object": (
        "class A:\n    def f(s): return 1\nK = A()\n" + GENERIC,
        "return 1",
        "return 2",
    ),
    "object with slots": (
        "class A:\n    __slots__ = ('k',)\nK = A()\nK.k = 1\n" + GENERIC,
        "K.k = 1",
        "K.k = 2",
    ),
    "list that is a class": (
        "class L(list): 0\nK = L([1])\nK.k = 1\n" + GENERIC,
        "K.k = 1",
        "K.k = 2",
    ),
    "inside itself": ("K = [1]\nK.append(K)\n" + GENERIC, "[1]", "[2]"),
    "name space": ("K = types.SimpleNamespace(k=1)\n" + GENERIC, "k=1", "k=2"),
    "pattern": ("K = re.compile('a')\n" + GENERIC, "'a'", "'b'"),
    "flags of a pattern": ("K = re.compile('a')\n" + GENERIC, "'a')", "'a', re.I)"),
    "generator of numpy": (
        "K = np.random.RandomState(1)\n" + GENERIC,
        "State(1)",
        "State(2)",
    ),
    "generator of torch": (
        "K = torch.Generator().manual_seed(1)\n" + GENERIC,
        "seed(1)",
        "seed(2)",
    ),
    "generator of Python": ("K = random.Random(1)\n" + GENERIC, "Random(1)", "Random(2)"),
    "iterator": ("K = itertools.cycle([1, 2])\n" + GENERIC, "[1, 2]", "[2, 1]"),
    "range": ("K = range(1, 9, 2)\n" + GENERIC, "9, 2", "9, 3"),
    "complex": ("K = 1j\n" + GENERIC, "1j", "2j"),
    "module made by hand": (
        "K = types.ModuleType('by_hand')\nK.k = 1\n" + GENERIC,
        "K.k = 1",
        "K.k = 2",
    ),
    "global of an inner function": (
        "K = 1\n" + CLASS + "    def draw(self, g):\n        def f(): return K\n        return f()",
        "K = 1",
        "K = 2",
    ),
    "global of a class in a function": (
        "K = 1\n" + CLASS + "    def draw(self, g):\n        class A:\n            k = K\n",
        "K = 1",
        "K = 2",
    ),
    "global that is written": (
        "K = 1\n" + CLASS + "    def draw(self, g):\n        global K\n        K = 3\n",
        "K = 1",
        "K = 2",
    ),
    "builtin that is hidden": (DRAW + "len(K)\nK = 1", "K = 1", "K = 1\ndef len(k): return 7"),
    "default of a lambda": ("K = lambda k=1: k\n" + GENERIC, "k=1", "k=2"),
    "constant set": (DRAW + "3 in {1, 2}", "{1, 2}", "{1, 3}"),
    "constant tuple": (DRAW + "(1, 0.0)", "0.0", "-0.0"),
    "what it raises": (
        CLASS + "    def draw(self, g):\n        try: return 1 / 0\n        except ValueError: 0",
        "ValueError",
        "OSError",
    ),
}
COUNT = itertools.count()


def cell(source, name="Mine"):
    """A class of a cell, whose text is kept as IPython keeps it; `__main__`, as in a notebook."""
    source, file = HEAD + source, f"<ipython-input-{next(COUNT)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    space = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    return space[name]
