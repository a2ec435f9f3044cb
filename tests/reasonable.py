"""Cells with what reasonable people write: each goes to a worker as it is."""

from cells import DRAW

TEXT = """
### generic
from typing import Generic, TypeVar
T=TypeVar('T')
class Base(PathSampler, Generic[T]): 0
class Mine(Base[int]):
    def draw(self, g): return 1
### protocol
from typing import Protocol
class P(Protocol):
    def f(self) -> int: ...
class Mine(PathSampler, P):
    def f(self): return 1
### typeddict
from typing import TypedDict
class T(TypedDict):
    a: int
K: T = {'a': 1}
$DRAW T(a=1)
### abc register
import abc
class A(abc.ABC): 0
class B: 0
A.register(B)
$DRAW isinstance(B(), A)
### flag
class E(enum.Flag):
    A = enum.auto()
    B = enum.auto()
$DRAW E.A | E.B
### enum with methods
class E(str, enum.Enum):
    A = 'a'
    def f(self): return self.value
    @property
    def g(self): return 1
    @classmethod
    def h(cls): return cls.A
$DRAW E.A.f()
### slots dataclass
@dataclasses.dataclass(frozen=True, slots=True)
class S:
    a: int = 1
K = S(2)
$DRAW K.a
### dataclass everything
@dataclasses.dataclass(order=True, kw_only=True)
class S:
    a: int = 1
    b: list = dataclasses.field(default_factory=list, metadata={'x': 1})
    c: dataclasses.InitVar[int] = 0
    def __post_init__(self, c): self.b.append(c)
K = S(a=2)
$DRAW K.a
### make_dataclass
S = dataclasses.make_dataclass('S', ['a'])
K = S(1)
$DRAW K.a
### logger
import logging
log = logging.getLogger('x')
$DRAW log.info('x')
### plt
import matplotlib.pyplot as plt
import pandas as pd
K = pd.DataFrame({'a': [1, 2.5], 'b': list('xy')}, index=pd.date_range('2020', periods=2))
$DRAW plt.plot(K.a)
### path
from pathlib import Path
P = Path('x')
$DRAW P
### module class
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.l = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    def forward(self, x): return self.l(x)
state = torch.get_rng_state()
N = Net()
torch.set_rng_state(state)
$DRAW N(torch.ones(2))
### distribution
K = torch.distributions.Categorical(torch.ones(5) / 5)
$DRAW K.probs
### scipy
from scipy import stats
K = stats.norm(0, 1)
$DRAW K.cdf(0)
### scipy module
import scipy.stats as st
from scipy.special import softmax
$DRAW softmax(st.norm.pdf(np.ones(2)))
### sklearn
from sklearn.linear_model import LinearRegression
K = LinearRegression().fit(np.ones((2, 1)), np.ones(2))
$DRAW K.coef_
### recursive
def f(n): return 1 if n == 0 else g(n - 1)
def g(n): return f(n)
$DRAW f(3)
### itself
class Mine(PathSampler):
    def draw(self, g):
        return Mine.k
    k = 1
    def __eq__(self, o): return type(o) is Mine
    __hash__ = None
Mine.me = Mine
### total_ordering
@functools.total_ordering
class A:
    def __init__(s, k): s.k = k
    def __lt__(s, o): return s.k < o.k
    def __eq__(s, o): return s.k == o.k
$DRAW sorted([A(2), A(1)])
### future annotations
class A:
    x: 'Undefined'
    def f(self, a: 'B') -> 'C': return 1
$DRAW A().f(1)
### match
$DRAW self.f(1)
    def f(self, k):
        match k:
            case [a, b]: return a
            case {'x': y}: return y
            case int(): return 1
### generator function
def f(n):
    for k in range(n): yield k
$DRAW list(f(3))
### async
async def f(): return 1
$DRAW f
### classmethod cached
class Mine(PathSampler):
    @classmethod
    @functools.lru_cache
    def f(cls, n): return n
    @staticmethod
    @functools.cache
    def g(n): return n
    @property
    @functools.lru_cache
    def h(self): return 1
    @functools.lru_cache
    def i(self): return 1
    def draw(self, g): return self.f(1), self.g(1)
### datetime decimal
import datetime, decimal, fractions, uuid
K = [datetime.date(2020,1,1), decimal.Decimal('1.0'), fractions.Fraction(1, 3)]
L = [datetime.timedelta(1), uuid.UUID(int=3)]
$DRAW K
### typing alias
from typing import Callable, Optional, Union, Literal
F = Callable[[int], int]
O = Optional[int]
L = Literal['a', 'b']
G = list[int]
U = int | str
$DRAW (F, O, L, G, U)
### overload
from typing import overload
class Mine(PathSampler):
    @overload
    def f(self, a: int) -> int: ...
    @overload
    def f(self, a: str) -> str: ...
    def f(self, a): return a
### singledispatchmethod
class Mine(PathSampler):
    @functools.singledispatchmethod
    def f(self, x): return 0
    @f.register
    def _(self, x: int): return 1
    def draw(self, g): return self.f(1)
### vectorize
K = np.vectorize(lambda a: a + 1)
$DRAW K([1])
### ufunc
$DRAW np.add.reduce([1]) + K([1.0])[0]
K = np.exp
### np generator
class Mine(PathSampler):
    def __init__(self, *a):
        super().__init__(*a)
        self.k = 1
    def draw(self, g):
        rng = np.random.default_rng(int(torch.randint(99, (), generator=g)))
        return rng.integers(5, size=3)
### torch compile off
K = torch.nn.functional.softmax
@torch.inference_mode()
def f(x): return K(x, 0)
$DRAW f(torch.ones(2))
### tqdm
from tqdm.auto import tqdm
$DRAW tqdm
### ops
import torch.nn as nn
$DRAW (self.space.ops, torch.ops, torch.classes, nn.functional)
### op overload
K = torch.ops.aten.add
L = torch.ops.aten.add.Tensor
$DRAW K(torch.ones(1), 1)
### torch func alias
from torch import randint, multinomial as draw_from, Tensor
$DRAW (randint, draw_from, Tensor)
### numpy alias
from numpy import linalg as LA, newaxis, inf
from numpy.linalg import norm
$DRAW (LA, newaxis, inf, norm)
### operator
from operator import add, attrgetter, methodcaller
K = [add, attrgetter('a.b'), methodcaller('x', 1)]
$DRAW K
### counter
K = collections.Counter('aab')
C = collections.ChainMap({'a': 1}, {})
U = collections.UserDict(a=1)
$DRAW (K, C, U)
### exception
class Bad(ValueError):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b
def f():
    raise Bad(1, 2)
$DRAW f
### context manager class
import contextlib
class C(contextlib.ContextDecorator):
    def __enter__(self): return self
    def __exit__(self, *a): 0
class Mine(PathSampler):
    @C()
    def draw(self, g): return 1
### getattr
class Mine(PathSampler):
    def __getattr__(self, name):
        if name.startswith('_'): raise AttributeError(name)
        return 1
    def draw(self, g): return self.foo
### set_name
class D:
    def __set_name__(self, owner, name): self.name = name
    def __get__(self, o, t=None): return self.name
class Mine(PathSampler):
    d = D()
    def draw(self, g): return self.d
### get_ipython
$DRAW get_ipython()
def get_ipython(): return 1
### star
from math import *
$DRAW sin(pi)
### composite
class Mine(PathSampler):
    def __init__(self, space, epochs):
        super().__init__(space, epochs)
        self.inner = FairPaths(space, epochs)
    def draw(self, g): return self.inner.draw(g)
    def state(self): return self.inner.state()
    def restore(self, s): self.inner.restore(s)
### padalib things
from padalib import spaces, samplers, data
from padalib.train import TrainConfig
S = spaces.get('mini')
M = samplers.get('PA')
$DRAW (S, M, data.load, TrainConfig)
### bool mask
K = torch.tensor([True, False])
S = torch.Size([1])
C = torch.ones(2, dtype=torch.complex64).conj()
B = torch.ones(2).bfloat16()
P = torch.nn.Parameter(torch.ones(2))
E = torch.empty(0)
T = torch.ones(2, 3).T
$DRAW (K, S, C, B, P, E, T)
### structured
K = np.zeros(2, dtype=[('a', 'i4'), ('b', 'f8')])
D_ = np.datetime64('2020')
S = np.array(['a'])
$DRAW (K, D_, S)
"""
REASONABLE = {
    name: source.replace("$DRAW ", DRAW)
    for name, _, source in (cell.partition("\n") for cell in TEXT.split("### ")[1:])
}
