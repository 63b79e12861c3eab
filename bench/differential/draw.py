"""Random choices of which a case is made."""

import dataclasses

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

KINDS = {
    "float": ("float32", "float64", "float16", "bfloat16"),
    "int": ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
}


@dataclasses.dataclass
class Case:
    """A node: None stands for an input that is left out."""

    name: str
    inputs: list
    attributes: dict = dataclasses.field(default_factory=dict)
    outputs: int | tuple = 1  # how many, or of each whether it is there
    domain: str = ""
    constant: tuple = ()  # inputs that are always constants
    variable: tuple = ()  # inputs that are always graph inputs
    steps: int = 0  # by which integers may differ
    loose: float = 1  # by which the tolerance is greater


class Draw:
    """A generator of what a case of one operator needs."""

    def __init__(self, rng, name, first, last, wide=False):
        self.rng, self.name, self.wide = rng, name, wide and rng.random() < 0.5
        self.opset, self.schema = last, None
        versions = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == name and s.domain == ""]
        if versions:
            since = [v for v in versions if v <= last and not onnx.defs.get_schema(name, v, "").deprecated]
            low = max(first, min(since)) if since else None
            if low is None:
                self.opset = None
                return
            self.opset = self.choose(sorted({low, last, *(v for v in since if v >= low), *self.rng.integers(low, last + 1, 2).tolist()}))
            self.schema = onnx.defs.get_schema(name, self.opset, "")

    def chance(self, p):
        return self.rng.random() < p

    def choose(self, options):
        return options[int(self.rng.integers(len(options)))]

    def number(self, low, high):
        """An integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def maybe(self, value, p=0.5):
        """The value, or None."""
        return value if self.chance(p) else None

    def dtype(self, parameter="T", only=None):
        """An element type that the schema allows for a type parameter."""
        if self.schema is None:
            return np.dtype(self.choose(only or ["float32"]))
        allowed = next(c for c in self.schema.type_constraints if c.type_param_str == parameter).allowed_type_strs
        names = []
        for t in allowed:
            inner = t[len("tensor(") : -1]
            names.append({"float": "float32", "double": "float64"}.get(inner, inner))
        runs = [*KINDS["float"], *KINDS["int"], "bool"]
        if not self.wide:
            runs = only or [n for n in runs if n != "bfloat16"]
        names = [n for n in names if n in runs]
        if "float32" in names and self.chance(0.4):
            return np.dtype("float32")
        return dtype_of(self.choose(sorted(names)))

    def shape(self, low=0, high=4, most=6):
        """A shape; now and then with a dimension of 0."""
        shape = [self.number(1, most) for _ in range(self.number(low, high))]
        if shape and self.chance(0.03):
            shape[self.number(0, len(shape) - 1)] = 0
        return shape

    def broadcast(self, shape):
        """A shape that broadcasts with another, either way."""
        cut = shape[self.number(0, len(shape)) :] if self.chance(0.4) else shape
        other = [1 if self.chance(0.25) else d for d in cut]
        return other

    def array(self, dtype, shape, low=-3.0, high=3.0):
        dtype = dtype_of(dtype)
        if dtype == np.bool_:
            return self.rng.random(shape) < 0.5
        if dtype.kind in "iu":
            lo, hi = max(np.iinfo(dtype).min, int(np.floor(low))), min(np.iinfo(dtype).max, int(np.ceil(high)))
            return self.rng.integers(lo, hi, shape, dtype=np.int64, endpoint=True).astype(dtype)
        return np.asarray(self.rng.uniform(low, high, shape)).astype(dtype)

    def any(self, low=-3.0, high=3.0, parameter="T", only=None, ranks=(0, 4)):
        """An array of any type and shape."""
        return self.array(self.dtype(parameter, only), self.shape(*ranks), low, high)

    def axis(self, rank, negative=True):
        return self.number(-rank if negative else 0, rank - 1)

    def axes(self, rank, negative=True):
        """Some different axes, in any order."""
        picked = [int(a) for a in self.rng.permutation(rank)[: self.number(1, rank)]]
        return [a - rank if negative and self.chance(0.4) else a for a in picked]

    def ints(self, values):
        return np.array(values, np.int64)


def dtype_of(name):
    """The dtype of a name, or a dtype itself."""
    return np.dtype(ml_dtypes.bfloat16 if isinstance(name, str) and name == "bfloat16" else name)


def retype(case, d):
    """Gives the inputs of one type parameter, if all are float32, another floating-point type that the schema allows."""
    if d.schema is None or not d.wide:
        return
    formal = [d.schema.inputs[min(i, len(d.schema.inputs) - 1)].type_str for i in range(len(case.inputs))]
    for c in d.schema.type_constraints:
        mine = [i for i, f in enumerate(formal) if f == c.type_param_str and case.inputs[i] is not None]
        names = {"tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bfloat16)": "bfloat16"}
        others = [n for t, n in names.items() if t in c.allowed_type_strs]
        if not mine or not others or any(case.inputs[i].dtype != np.float32 for i in mine) or d.chance(0.3):
            continue
        to = dtype_of(d.choose(others))
        for i in mine:
            case.inputs[i] = case.inputs[i].astype(to)


def onnx_type(dtype):
    return helper.np_dtype_to_tensor_dtype(dtype_of(dtype))
