"""What a random case of each operator is: a function of a Draw to a Case."""

import numpy as np

from draw import KINDS, Case, onnx_type

ALL = {}
F32 = ["float32"]
FLOATS = ["float32", "float64", "float16"]


def case(*names):
    def add(f):
        for name in names:
            ALL[name] = f
        return f

    return add


def some(**attributes):
    """The attributes that are not None."""
    return {k: v for k, v in attributes.items() if v is not None}


# Element by element.


@case("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Mish", "Neg", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tan", "Tanh", "Atan", "Sinh", "Cosh", "Asinh", "IsNaN", "Not", "BitwiseNot", "Identity", "Reciprocal", "NonZero", "Size")
def unary(d):
    parameter = {"IsNaN": "T1", "Identity": "V" if d.opset >= 14 else "T"}.get(d.name, "T")
    x = d.any(-4, 4, parameter)
    if x.dtype.kind == "f" and d.chance(0.2) and x.size:
        x.flat[d.number(0, x.size - 1)] = d.choose([np.nan, np.inf, -np.inf, -0.0, 1e-40])
        if d.name in ("Sin", "Cos", "Tan"):
            x = np.nan_to_num(x, posinf=100, neginf=-100)
    if d.name == "Reciprocal":
        x = x + np.sign(x) + (x == 0)
    return Case(d.name, [x.astype(x.dtype)])


@case("Acos", "Asin", "Atanh")
def inside(d):
    return Case(d.name, [d.any(-0.99, 0.99)])


@case("Log", "Sqrt", "Acosh")
def positive(d):
    return Case(d.name, [d.any(1, 9)])


@case("Elu", "Selu", "Celu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Shrink", "Gelu", "Swish")
def parametric(d):
    a = {}
    if d.name in ("Elu", "Celu", "LeakyRelu", "ThresholdedRelu", "Selu", "HardSigmoid", "Swish"):
        a["alpha"] = d.maybe(float(d.rng.uniform(0.05, 1.5)))
    if d.name == "Selu":
        a["gamma"] = d.maybe(float(d.rng.uniform(0.5, 1.5)))
    if d.name == "HardSigmoid":
        a["beta"] = d.maybe(float(d.rng.uniform(-0.5, 1.5)))
    if d.name == "Shrink":
        a["lambd"], a["bias"] = d.maybe(float(d.rng.uniform(0.1, 2))), d.maybe(float(d.rng.uniform(-1, 1)))
    if d.name == "Gelu":
        a["approximate"] = d.maybe(d.choose(["none", "tanh"]))
    return Case(d.name, [d.any()], a)


@case("IsInf")
def isinf(d):
    x = d.any(parameter="T1", only=["float32", "float64"])
    if x.size:
        x.flat[0] = d.choose([np.inf, -np.inf])
    return Case("IsInf", [x], some(detect_negative=d.maybe(d.number(0, 1)), detect_positive=d.maybe(d.number(0, 1))))


@case("Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "PRelu")
def binary(d):
    dtype, shape = d.dtype(), d.shape(0, 4)
    other = d.broadcast(shape)
    if d.name != "PRelu" and d.chance(0.4):
        shape, other = other, shape
    x, y = d.array(dtype, shape, -5, 5), d.array(dtype, other, -5, 5)
    if d.name == "Div":
        y = np.where(y == 0, y.dtype.type(3), y)
    return Case(d.name, [x, y])


@case("BitShift")
def bitshift(d):
    signed = d.opset >= 28
    dtype, shape = d.dtype(only=KINDS["int"] if signed else ["uint8", "uint16", "uint32", "uint64"]), d.shape(0, 3)
    return Case("BitShift", [d.array(dtype, shape, -100 if signed else 0, 100), d.array(dtype, d.broadcast(shape), -1 if signed else 0, 9 if signed else 7)], {"direction": d.choose(["LEFT", "RIGHT"])})


@case("Mod")
def mod(d):
    dtype, shape = d.dtype(), d.shape(0, 3)
    x, y = d.array(dtype, shape, -50, 50), d.array(dtype, d.broadcast(shape), -7, 7)
    y = np.where(np.abs(y) < 0.1, y.dtype.type(3), y)
    return Case("Mod", [x, y], {"fmod": 1} if dtype.kind == "f" else some(fmod=d.maybe(d.number(0, 1))))


@case("Pow")
def power(d):
    shape = d.shape(0, 3)
    x = d.array(d.dtype("T"), shape, 1, 5)
    dtype = d.dtype("T1", [*FLOATS, "int32", "int64"]) if d.opset >= 12 else x.dtype
    return Case("Pow", [x, d.array(dtype, d.broadcast(shape), 0, 3)])


@case("Max", "Min", "Sum", "Mean")
def variadic(d):
    dtype, shape = d.dtype(), d.shape(0, 4)
    return Case(d.name, [d.array(dtype, d.broadcast(shape) if i else shape, -9, 9) for i in range(d.number(1, 4))])


@case("Where")
def where(d):
    shape = d.shape(0, 4)
    dtype = d.dtype()
    return Case("Where", [d.array(bool, d.broadcast(shape)), d.array(dtype, d.broadcast(shape)), d.array(dtype, shape)])


@case("Clip")
def clip(d):
    x = d.any(-5, 5)
    if d.opset < 11:
        return Case("Clip", [x], some(min=d.maybe(-1.5), max=d.maybe(2.0)))
    low = d.maybe(np.array(0 if x.dtype.kind == "u" else -2, x.dtype), 0.7)
    return Case("Clip", [x, low, d.maybe(np.array(2, x.dtype), 0.7)])


@case("Cast")
def cast(d):
    x = d.any(-100, 100, "T1")
    to = d.dtype("T2")
    if to.kind == "u":
        x = np.abs(x)
    if to == np.int8:
        x = (x / 2).astype(x.dtype) if x.dtype.kind == "f" else x
    return Case("Cast", [x], {"to": onnx_type(to), **(some(saturate=d.maybe(1)) if d.opset >= 19 else {})})


@case("CastLike")
def castlike(d):
    x = d.any(0, 100, "T1")
    return Case("CastLike", [x, d.array(d.dtype("T2"), [1])])


@case("CumSum")
def cumsum(d):
    x = d.any(ranks=(1, 4))
    axis = np.array(d.axis(x.ndim), d.choose([np.int32, np.int64]))
    return Case("CumSum", [x, axis], some(exclusive=d.maybe(d.number(0, 1)), reverse=d.maybe(d.number(0, 1))))


@case("Dropout")
def dropout(d):
    x = d.any()
    if d.opset < 12:
        return Case("Dropout", [x], some(ratio=d.maybe(0.3)))  # the mask is not filled
    return Case("Dropout", [x, d.maybe(np.array(0.3, np.float32)), None], {}, d.number(1, 2))


# Rearrangement.


@case("Transpose")
def transpose(d):
    x = d.any(ranks=(0, 6))
    return Case("Transpose", [x], some(perm=d.maybe([int(i) for i in d.rng.permutation(x.ndim)], 0.8) if x.ndim else None))


@case("Reshape")
def reshape(d):
    x = d.any(ranks=(0, 5))
    dims, left = [], x.size
    for _ in range(d.number(0, 3)):
        options = [k for k in range(1, left + 1) if left % k == 0] or [0]
        dims.append(d.choose(options))
        left = left // dims[-1] if dims[-1] else 0
    dims.append(left)
    a = {}
    if x.size == 0:
        dims, a = list(x.shape)[::-1], {"allowzero": 1} if d.opset >= 14 else {}
        if d.opset < 14:
            dims = list(x.shape)
    elif d.chance(0.5):
        dims[d.number(0, len(dims) - 1)] = -1
    elif d.chance(0.3) and dims[0] == (x.shape or [None])[0]:
        dims[0] = 0
    return Case("Reshape", [x, d.ints(dims)], a)


@case("Flatten")
def flatten(d):
    x = d.any(ranks=(1, 5))
    return Case("Flatten", [x], some(axis=d.maybe(d.number(-x.ndim if d.opset >= 11 else 0, x.ndim))))


@case("Squeeze", "Unsqueeze")
def squeeze(d):
    x = d.any(ranks=(1, 4))
    if d.name == "Squeeze":
        shape = [1 if d.chance(0.5) else n for n in x.shape]
        x = d.array(x.dtype, shape)
        axes = [i - x.ndim if d.opset >= 11 and d.chance(0.4) else i for i in range(x.ndim) if x.shape[i] == 1]
        axes = axes if axes and d.chance(0.7) else None
    else:
        n = d.number(1, 3)
        axes = [int(i) for i in d.rng.permutation(x.ndim + n)[:n]]
        axes = sorted(axes) if d.opset < 11 else [i - x.ndim - n if d.chance(0.4) else i for i in axes]
    if d.opset < 13:
        return Case(d.name, [x], some(axes=axes))
    return Case(d.name, [x, None if axes is None else d.ints(axes)])


@case("Concat")
def concat(d):
    x = d.any(ranks=(1, 4))
    axis = d.axis(x.ndim, d.opset >= 11)
    inputs = [x]
    for _ in range(d.number(0, 3)):
        shape = list(x.shape)
        shape[axis] = d.number(0 if d.chance(0.2) else 1, 4)
        inputs.append(d.array(x.dtype, shape))
    return Case("Concat", inputs, {"axis": axis})


@case("Split")
def split(d):
    x = d.any(ranks=(1, 4))
    axis = d.axis(x.ndim, d.opset >= 11)
    n, length = d.number(1, 3), x.shape[axis]
    parts = [int(p) for p in np.diff([0, *sorted(d.rng.integers(0, length + 1, n - 1).tolist()), length])]
    a = some(axis=axis if axis else d.maybe(axis))
    if d.opset < 13:
        return Case("Split", [x], {**a, "split": parts}, n)
    if d.opset >= 18 and d.chance(0.5):
        n = min(n, max(length, 1))
        return Case("Split", [x], {**a, "num_outputs": n}, n)
    return Case("Split", [x, d.ints(parts)], a, n)


@case("Slice")
def slice_(d):
    x = d.any(ranks=(1, 4), parameter="T")
    axes = d.axes(x.ndim, d.opset >= 10)
    far = 2**31 if d.opset >= 10 else 10000
    starts = [d.choose([0, 1, -1, -2, 2, d.number(-7, 7), d.number(-7, 7), far]) for _ in axes]
    ends = [d.choose([far, -1, d.number(-7, 7), d.number(-7, 7), -far]) for _ in axes]
    if d.opset < 10:
        return Case("Slice", [x], {"starts": starts, "ends": ends, "axes": axes})
    steps = [d.choose([1, 1, 2, 3, -1, -2]) for _ in axes]
    if d.chance(0.3) and len(axes) == x.ndim:
        axes = None
    dtype = d.choose([np.int64, np.int64, np.int32])
    clip = np.iinfo(dtype)
    pack = lambda v: None if v is None else np.clip(np.array(v, np.int64), clip.min + 1, clip.max).astype(dtype)
    return Case("Slice", [x, pack(starts), pack(ends), pack(axes), pack(d.maybe(steps, 0.7)) if axes else None])


@case("Gather", "GatherElements")
def gather(d):
    x = d.any(ranks=(1, 4))
    axis = d.axis(x.ndim, d.opset >= 11)
    n = x.shape[axis]
    if d.name == "Gather":
        shape = d.shape(0, 3)
    else:
        shape = [d.number(1, m) if m else 0 for m in x.shape]
        shape[axis] = d.number(1, 5)
    if n == 0:
        shape = [0] * len(shape) if shape else [0]
    i = d.array(d.choose([np.int64, np.int32]), shape, -n if d.opset >= 11 else 0, max(n - 1, 0))
    return Case(d.name, [x, i], some(axis=axis if axis else d.maybe(axis)))


@case("GatherND")
def gathernd(d):
    x = d.array(d.dtype("T"), [d.number(1, 4) for _ in range(d.number(1, 4))])
    batch = d.number(0, x.ndim - 1) if d.opset >= 12 else 0
    depth = d.number(1, x.ndim - batch)
    lead = list(x.shape[:batch]) + [d.number(1, 3) for _ in range(d.number(0, 2))]
    columns = [d.array(np.int64, lead, -x.shape[batch + k], x.shape[batch + k] - 1) for k in range(depth)]
    return Case("GatherND", [x, np.stack(columns, -1)], some(batch_dims=batch) if d.opset >= 12 else {})


@case("ScatterElements")
def scatterelements(d):
    x = d.array(d.dtype("T"), [d.number(1, 5) for _ in range(d.number(1, 3))])
    axis = d.axis(x.ndim)
    shape = [d.number(1, n) for n in x.shape]
    reductions = [None, "none"] + (["add", "mul"] if d.opset >= 16 else []) + (["max", "min"] if d.opset >= 18 else [])
    reduction = d.choose(reductions) if d.opset >= 16 else None
    if x.dtype == bool:
        reduction = None
    n = x.shape[axis % x.ndim]
    if reduction in (None, "none"):
        shape[axis] = min(shape[axis], n)
        order = np.argsort(d.rng.random([*shape[:axis], n, *shape[axis:][1:]] if axis >= 0 else np.array([n if k == axis % x.ndim else m for k, m in enumerate(shape)])), axis)
        i = np.take(order, range(shape[axis]), axis)
        i = np.where(d.rng.random(i.shape) < 0.3, i - n, i)
    else:
        i = d.array(np.int64, shape, -n, n - 1)
    return Case("ScatterElements", [x, i.astype(d.choose([np.int64, np.int32])), d.array(x.dtype, i.shape)], some(axis=axis, reduction=reduction))


@case("ScatterND")
def scatternd(d):
    x = d.array(d.dtype("T"), [d.number(1, 5) for _ in range(d.number(1, 3))])
    depth = d.number(1, x.ndim)
    reductions = [None] + (["none", "add", "mul"] if d.opset >= 16 else []) + (["max", "min"] if d.opset >= 18 else [])
    reduction = d.choose(reductions)
    if x.dtype == bool:
        reduction = None
    places = np.stack(np.meshgrid(*[range(n) for n in x.shape[:depth]], indexing="ij"), -1).reshape(-1, depth)
    count = d.number(1, len(places))
    i = places[d.rng.permutation(len(places))[:count]] if reduction in (None, "none") else places[d.rng.integers(0, len(places), count)]
    if d.opset >= 11:
        i = np.where(d.rng.random(i.shape) < 0.3, i - np.array(x.shape[:depth]), i)
    return Case("ScatterND", [x, i.astype(np.int64), d.array(x.dtype, [count, *x.shape[depth:]])], some(reduction=reduction))


@case("Tile")
def tile(d):
    x = d.any(ranks=(1, 4))
    return Case("Tile", [x, d.ints([d.choose([1, 1, 2, 3, 0 if d.chance(0.1) else 2]) for _ in x.shape])])


@case("Expand")
def expand(d):
    shape = d.shape(0, 4)
    return Case("Expand", [d.array(d.dtype(), d.broadcast(shape)), d.ints(shape if d.chance(0.7) else [1, *shape])])


@case("Pad")
def pad(d):
    x = d.array(d.dtype(only=None if d.opset >= 13 else FLOATS), [d.number(2, 5) for _ in range(d.number(1, 4))])
    modes = ["constant", "reflect", "edge"] + (["wrap"] if d.opset >= 19 else [])
    mode = d.choose([None, *modes])
    axes = d.axes(x.ndim) if d.opset >= 18 and d.chance(0.4) else None
    n = len(axes) if axes else x.ndim
    low = -1 if mode in (None, "constant") else 0
    pads = [d.number(low, 1 if mode == "reflect" or d.chance(0.5) else 3 if low else 1) for _ in range(2 * n)]
    if d.opset < 11:
        return Case("Pad", [x], some(mode=mode, pads=pads, value=d.maybe(1.5)))
    value = np.array(1, x.dtype) if d.chance(0.5) else None
    return Case("Pad", [x, d.ints(pads), value, None if axes is None else d.ints(axes)], some(mode=mode))


@case("DepthToSpace", "SpaceToDepth")
def depthspace(d):
    b = d.number(1, 3)
    h, w = d.number(1, 3), d.number(1, 3)
    dtype = d.dtype()
    if d.name == "SpaceToDepth":
        return Case(d.name, [d.array(dtype, [d.number(1, 2), d.number(1, 3), h * b, w * b])], {"blocksize": b})
    mode = d.choose([None, "DCR", "CRD"]) if d.opset >= 11 else None
    return Case(d.name, [d.array(dtype, [d.number(1, 2), d.number(1, 3) * b * b, h, w])], some(blocksize=b, mode=mode))


@case("Shape")
def shape(d):
    x = d.any(parameter="T")
    a = some(start=d.maybe(d.number(-5, 5)), end=d.maybe(d.number(-5, 5))) if d.opset >= 15 else {}
    return Case("Shape", [x], a)


@case("Trilu")
def trilu(d):
    x = d.any(ranks=(2, 4))
    return Case("Trilu", [x, d.maybe(np.array(d.number(-5, 5), np.int64))], some(upper=d.maybe(d.number(0, 1))))


@case("OneHot")
def onehot(d):
    depth = d.number(1, 6)
    i = d.array(d.dtype("T1", ["int64"]), d.shape(1, 3), -depth if d.opset >= 11 else 0, depth - 1)
    i = np.floor(i).astype(i.dtype)
    return Case("OneHot", [i, np.array(depth, d.choose([np.int64])), d.array(d.dtype("T3", ["float32", "int64"]), [2])], some(axis=d.maybe(d.number(-i.ndim - 1, i.ndim))))


@case("ReverseSequence")
def reversesequence(d):
    x = d.array(d.dtype(), [d.number(1, 4), d.number(1, 4), *d.shape(0, 2)])
    batch = d.number(0, 1)
    return Case("ReverseSequence", [x, d.array(np.int64, [x.shape[batch]], 1, x.shape[1 - batch])], {"batch_axis": batch, "time_axis": 1 - batch})


@case("EyeLike")
def eyelike(d):
    return Case("EyeLike", [d.array(d.dtype("T1"), [d.number(1, 5), d.number(1, 5)])], some(k=d.maybe(d.number(-4, 4)), dtype=d.maybe(d.choose([1, 6, 7, 10, 11]))))


@case("Range")
def range_(d):
    dtype = d.dtype(only=["float32", "float64", "int32", "int64", "int16"])
    start, n, step = d.number(-5, 5), d.number(0, 6), d.choose([1, 2, -1, -3])
    return Case("Range", [np.array(v, dtype) for v in (start, start + n * step + (step > 0) - (step < 0) * 0, step)])


@case("Compress")
def compress(d):
    x = d.array(d.dtype(), [d.number(1, 5) for _ in range(d.number(1, 3))])
    axis = d.maybe(d.axis(x.ndim, d.opset >= 11))
    n = x.size if axis is None else x.shape[axis]
    return Case("Compress", [x, d.array(bool, [d.number(1, n)])], some(axis=axis))


@case("Unique")
def unique(d):
    x = d.array(d.dtype(), [d.number(1, 5) for _ in range(d.number(1, 3))], -2, 2)
    if x.dtype.kind == "f":
        x = np.round(x)
    x = x + x.dtype.type(0) if x.dtype != bool else x
    return Case("Unique", [x], some(axis=d.maybe(d.axis(x.ndim)), sorted=d.maybe(d.number(0, 1))), d.number(1, 4))


@case("ConstantOfShape")
def constantofshape(d):
    value = None
    if d.chance(0.7):
        from onnx import numpy_helper

        value = numpy_helper.from_array(d.array(d.dtype("T2"), [1]))
    return Case("ConstantOfShape", [d.ints(d.shape(0, 3))], some(value=value))


@case("CenterCropPad")
def centercroppad(d):
    x = d.array(d.dtype(), [d.number(1, 6) for _ in range(d.number(1, 4))])
    axes = d.maybe(d.axes(x.ndim))
    n = len(axes) if axes else x.ndim
    return Case("CenterCropPad", [x, d.array(d.dtype("Tind"), [n], 1, 8)], some(axes=axes))


# Reductions.


@case("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")
def reduce(d):
    low = 0.5 if d.name == "ReduceLogSum" else -2
    x = d.array(d.dtype(), [d.number(1, 5) for _ in range(d.number(1, 5))], low, 3)
    since = 13 if d.name == "ReduceSum" else 18
    axes = d.maybe(d.axes(x.ndim, d.opset >= 11), 0.8)
    a = some(keepdims=d.maybe(d.number(0, 1)))
    if d.opset < since:
        return Case(d.name, [x], {**a, **some(axes=axes)})
    if axes is None and d.chance(0.3):
        axes = []
    a.update(some(noop_with_empty_axes=d.maybe(d.number(0, 1))))
    return Case(d.name, [x, None if axes is None else d.ints(axes)], a)


@case("ArgMax", "ArgMin")
def arg(d):
    x = d.array(d.dtype(), [d.number(1, 5) for _ in range(d.number(1, 4))], -3, 3)
    a = some(axis=d.maybe(d.axis(x.ndim, d.opset >= 11)), keepdims=d.maybe(d.number(0, 1)))
    if d.opset >= 12:
        a.update(some(select_last_index=d.maybe(d.number(0, 1))))
    return Case(d.name, [x], a)


@case("TopK")
def topk(d):
    dtype = d.dtype(only=["float32", "float64", "int64", "int32"])
    x = np.asarray(d.rng.permutation(125)[: np.prod(s := [d.number(1, 5) for _ in range(d.number(1, 3))])].reshape(s), dtype)
    axis = d.axis(x.ndim, d.opset >= 11)
    k = d.number(0, x.shape[axis]) if d.chance(0.3) else d.number(1, x.shape[axis])
    if d.opset < 10:
        return Case("TopK", [x], {"axis": axis, "k": max(k, 1)}, 2)
    a = some(axis=axis)
    if d.opset >= 11:
        a.update(some(largest=d.maybe(d.number(0, 1)), sorted=d.maybe(1)))
    return Case("TopK", [x, d.ints([k])], a, 2)


@case("Softmax", "LogSoftmax", "Hardmax")
def softmax(d):
    x = d.any(ranks=(1, 4), only=FLOATS)
    return Case(d.name, [x], some(axis=d.maybe(d.axis(x.ndim, d.opset >= 11), 0.8)))


@case("LpNormalization")
def lpnormalization(d):
    x = d.array(d.dtype(), [d.number(1, 5) for _ in range(d.number(1, 4))])
    return Case("LpNormalization", [x], some(axis=d.maybe(d.axis(x.ndim)), p=d.maybe(d.number(1, 2))))


@case("Einsum")
def einsum(d):
    sizes = {c: d.number(1, 4) for c in "abcdij"}
    equation = d.choose(["ab,bc->ac", "abc,acd->abd", "ab,ab->a", "abcd,abde->abce".replace("e", "i"), "bij,bjd->bid", "ab->ba", "aab->b".replace("aab", "aba").replace("->b", "->b"), "a,b->ab", "abc->", "ab,bc", "...ab,...bc->...ac", "ii->i", "ii->", "abcd,cdij->abij", "ab,b,cb->ac"])
    terms = equation.split("->")[0].split(",")
    dtype = d.dtype(only=["float32", "float64", "int32", "int64"])
    lead = d.shape(0, 2)
    inputs = []
    for t in terms:
        shape = ([max(1, n) for n in lead] if "..." in t else []) + [sizes[c] for c in t.replace("...", "")]
        inputs.append(d.array(dtype, shape))
    return Case("Einsum", inputs, {"equation": equation})


# Products.


@case("MatMul")
def matmul(d):
    dtype = d.dtype(only=["float32", "float32", "float64", "int32", "int64", "float16", "uint32"])
    m, k, n = d.number(1, 20), d.number(1, 20), d.number(1, 20)
    lead = [max(1, v) for v in d.shape(0, 2, 4)]
    a, b = [*d.broadcast(lead), m, k], [*d.broadcast(lead), k, n]
    if d.chance(0.15):
        a = [k]
    if d.chance(0.15):
        b = [k]
    return Case("MatMul", [d.array(dtype, a), d.array(dtype, b)])


@case("Gemm")
def gemm(d):
    dtype = d.dtype(only=["float32", "float64", "float16"])
    m, k, n = d.number(1, 20), d.number(1, 20), d.number(1, 20)
    ta, tb = d.number(0, 1), d.number(0, 1)
    a = d.array(dtype, [k, m] if ta else [m, k])
    b = d.array(dtype, [n, k] if tb else [k, n])
    c = d.choose([[m, n], [1, n], [n], [m, 1], [1], [], None if d.opset >= 11 else [n]])
    return Case("Gemm", [a, b, None if c is None else d.array(dtype, c)], some(transA=ta or d.maybe(0), transB=tb or d.maybe(0), alpha=d.maybe(0.7), beta=d.maybe(d.choose([0.0, 1.3]))))


@case("Det")
def det(d):
    n = d.number(1, 5)
    return Case("Det", [d.array(d.dtype(only=F32), [*[max(1, v) for v in d.shape(0, 2)], n, n])])


# Windows.


def window(d, x, kernel, dilate=True, ceil=False):
    """Attributes of a window over x, [N, C, spatial...]; None if it does not fit."""
    n = len(kernel)
    strides = [d.number(1, 3) for _ in range(n)]
    dilations = [d.choose([1, 1, 2]) for _ in range(n)] if dilate else [1] * n
    a = some(strides=d.maybe(strides, 0.7), dilations=dilations if max(dilations) > 1 else None)
    pad = d.choose([None, "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if pad in ("SAME_UPPER", "SAME_LOWER"):
        a.pop("dilations", None)  # ONNX Runtime leaves them out of its padding
    if pad == "pads":
        a["pads"] = [d.number(0, (k - 1) * dil) if d.chance(0.6) else 0 for k, dil in [*zip(kernel, dilations), *zip(kernel, dilations)]]
    elif pad:
        a["auto_pad"] = pad
    if pad in ("SAME_UPPER", "SAME_LOWER") and any(k < s for k, s in zip(kernel, a.get("strides", kernel))):
        a["auto_pad"] = "VALID"  # ONNX Runtime's pools refuse to pad by less than nothing, or leave out elements
    if ceil:
        a.update(some(ceil_mode=d.maybe(d.number(0, 1))))
    return a


def spatial(d, kernel, dilated=2):
    return [d.number(max(1, (k - 1) * dilated + 1), 12) for k in kernel]


@case("Conv")
def conv(d):
    dtype = d.dtype(only=["float32", "float32", "float64", "float16"])
    kernel = [d.choose([1, 1, 2, 3, 3, 5]) for _ in range(d.choose([1, 2, 2, 2, 3]))]
    group = d.choose([1, 1, 1, 2, 3, 4])
    depthwise = d.chance(0.2)
    cg = 1 if depthwise else d.choose([1, 2, 3, 4, 8, 17])
    mg = d.choose([1, 1, 2]) if depthwise else d.choose([1, 2, 3, 4, 8, 16, 33])
    group = d.choose([3, 4, 16, 19]) if depthwise else group
    x = d.array(dtype, [d.number(1, 3), cg * group, *spatial(d, kernel)])
    w = d.array(dtype, [mg * group, cg, *kernel])
    b = d.maybe(d.array(dtype, [mg * group]))
    a = window(d, x, kernel)
    return Case("Conv", [x, w, b], {**a, **some(group=group if group > 1 else d.maybe(1), kernel_shape=d.maybe(kernel))})


@case("ConvTranspose")
def convtranspose(d):
    dtype = d.dtype(only=["float32"])
    kernel = [d.choose([1, 2, 3, 4]) for _ in range(d.choose([1, 2, 2, 2]))]
    n = len(kernel)
    group = d.choose([1, 1, 2, 3])
    cg, mg = d.number(1, 5), d.number(1, 5)
    x = d.array(dtype, [d.number(1, 2), cg * group, *[d.number(1, 7) for _ in kernel]])
    w = d.array(dtype, [cg * group, mg, *kernel])
    strides = [d.number(1, 3) for _ in kernel]
    dilations = [d.choose([1, 1, 2]) for _ in kernel]
    a = some(strides=strides, dilations=dilations if max(dilations) > 1 else None, group=group if group > 1 else None, kernel_shape=d.maybe(kernel))
    if d.chance(0.4):
        a["output_padding"] = [d.number(0, max(s, dil) - 1) for s, dil in zip(strides, dilations)]
    pad = d.choose([None, "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "shape"])
    if pad and pad.startswith("SAME") and any(k < s for k, s in zip(kernel, strides)):
        pad = "VALID"  # ONNX Runtime does not pad by less than nothing
    if pad == "pads":
        a["pads"] = [d.number(0, min(1, k - 1)) for k in kernel * 2]
    elif pad == "shape":
        a["output_shape"] = [s * v + d.number(0, 1) for s, v in zip(strides, x.shape[2:])]
        a.update(some(auto_pad=d.maybe(d.choose(["SAME_UPPER", "SAME_LOWER"]))))
    elif pad:
        a["auto_pad"] = pad
    return Case("ConvTranspose", [x, w, d.maybe(d.array(dtype, [mg * group]))], a)


@case("MaxPool", "AveragePool", "LpPool")
def pool(d):
    dtype = d.dtype(only=["float32", "float32", "float64", "float16", "int8", "uint8"])
    kernel = [d.number(1, 4) for _ in range(d.choose([1, 2, 2, 2, 3]))]
    dilate = d.name == "MaxPool" and d.opset >= 10 or d.name == "AveragePool" and d.opset >= 19 or d.name == "LpPool" and d.opset >= 18
    x = d.array(dtype, [d.number(1, 2), d.choose([1, 3, 16, 18]), *spatial(d, kernel)])
    a = window(d, x, kernel, dilate, d.opset >= 10 and d.name != "LpPool")
    a["kernel_shape"] = kernel
    outputs = 1
    if d.name == "AveragePool":
        a.update(some(count_include_pad=d.maybe(d.number(0, 1))))
    if d.name == "LpPool":
        a.update(some(p=d.maybe(d.number(1, 3))))
    if d.name == "MaxPool":
        outputs = d.number(1, 2)
        a.update(some(storage_order=d.maybe(d.number(0, 1), 0.3)))
    return Case(d.name, [x], a, outputs)


@case("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def globalpool(d):
    x = d.array(d.dtype(), [d.number(1, 2), d.number(1, 18), *[d.number(1, 6) for _ in range(d.number(1, 3))]])
    return Case(d.name, [x], some(p=d.maybe(d.number(1, 3))) if d.name == "GlobalLpPool" else {})


@case("MaxUnpool")
def maxunpool(d):
    h, w = d.number(1, 3), d.number(1, 3)
    x = d.array(np.float32, [1, 1, h, w])
    i = np.sort(d.rng.permutation(4 * h * w)[: h * w]).reshape(x.shape)
    return Case("MaxUnpool", [x, i.astype(np.int64)], {"kernel_shape": [2, 2], "strides": [2, 2]})


@case("Col2Im")
def col2im(d):
    block, image = [d.number(1, 3), d.number(1, 3)], [d.number(3, 6), d.number(3, 6)]
    strides, pads, dilations = [d.number(1, 2), d.number(1, 2)], [d.number(0, 1) for _ in range(4)], [1, 1]
    count = 1
    for k in range(2):
        count *= (image[k] + pads[k] + pads[k + 2] - block[k]) // strides[k] + 1
    x = d.array(d.dtype(only=F32), [d.number(1, 2), d.number(1, 3) * block[0] * block[1], count])
    return Case("Col2Im", [x, d.ints(image), d.ints(block)], {"strides": strides, "pads": pads, "dilations": dilations})


@case("Resize")
def resize(d):
    dtype = d.dtype("T1" if d.opset >= 11 else "T", ["float32", "float32", "uint8", "int8"])
    rank = d.choose([2, 4, 4, 4])
    x = d.array(dtype, [d.number(1, 6) if i >= rank - 2 else d.number(1, 3) for i in range(rank)], 0, 100)
    a = {"mode": d.choose(["nearest", "linear", "cubic"] if d.opset >= 11 and rank == 4 else ["nearest", "linear"])}
    scales = np.array([1] * (rank - 2) + [d.choose([0.5, 0.6, 1.0, 1.5, 2.0, 3.0]) for _ in range(2)], np.float32)
    scales = np.maximum(scales, (1.01 / np.array(x.shape)).astype(np.float32)).astype(np.float32)
    if d.opset < 11:
        return Case("Resize", [x, scales], a)
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] + (["half_pixel_symmetric"] if d.opset >= 19 else [])
    a["coordinate_transformation_mode"] = d.choose(modes)
    roi = None
    if d.chance(0.1) and d.opset >= 11:
        a["coordinate_transformation_mode"] = "tf_crop_and_resize"  # with sizes: ONNX Runtime leaves the region out of the scales' result
        a["extrapolation_value"] = 2.5
        roi = np.array([0] * (rank - 2) + [0.1, 0.2] + [1] * (rank - 2) + [0.8, 1.1], np.float32)
    if a["mode"] == "nearest":
        a["nearest_mode"] = d.choose(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if a["mode"] == "cubic":
        a.update(some(cubic_coeff_a=d.maybe(-0.5), exclude_outside=d.maybe(d.number(0, 1))))
    if d.opset >= 18 and a["mode"] != "nearest":
        a.update(some(antialias=d.maybe(d.number(0, 1))))
    if roi is None and d.opset < 13:
        roi = np.zeros([0], np.float32)
    if d.chance(0.5) or a["coordinate_transformation_mode"] == "tf_crop_and_resize":
        sizes = d.ints([*x.shape[: rank - 2], d.number(1, 9), d.number(1, 9)])
        axes = None
        if d.opset >= 18 and d.chance(0.4):
            axes = [rank - 2, rank - 1]
            sizes = sizes[-2:]
            a.update(axes=axes, **some(keep_aspect_ratio_policy=d.maybe(d.choose(["stretch", "not_larger", "not_smaller"]))))
            if roi is not None and len(roi):
                roi = roi[[rank - 2, rank - 1, 2 * rank - 2, 2 * rank - 1]]
        return Case("Resize", [x, roi, np.zeros([0], np.float32) if d.opset < 13 else None, sizes], a, steps=1)
    return Case("Resize", [x, roi, scales], a, constant=(1, 2), steps=1)


@case("Upsample")
def upsample(d):
    x = d.array(np.float32, [1, 2, d.number(1, 5), d.number(1, 5)])
    scales = [1.0, 1.0, float(d.number(1, 3)), float(d.number(1, 3))]
    d.opset = d.choose([7, 8, 9])
    mode = d.choose(["nearest", "linear"])
    if d.opset < 9:
        return Case("Upsample", [x], {"mode": mode, "scales": scales})
    return Case("Upsample", [x, np.array(scales, np.float32)], {"mode": mode})


@case("GridSample")
def gridsample(d):
    n, spatial_ = d.number(1, 2), d.choose([2, 2, 3]) if d.opset >= 20 else 2
    x = d.array(np.float32, [n, d.number(1, 3), *[d.number(2, 5) for _ in range(spatial_)]])
    grid = d.array(np.float32, [n, *[d.number(1, 4) for _ in range(spatial_)], spatial_], -1.3, 1.3)
    modes = ["linear", "nearest"] + (["cubic"] if spatial_ == 2 else []) if d.opset >= 20 else ["bilinear", "nearest", "bicubic"]
    return Case("GridSample", [x, grid], some(mode=d.choose(modes), padding_mode=d.maybe(d.choose(["zeros", "border", "reflection"])), align_corners=d.maybe(d.number(0, 1))))


@case("AffineGrid")
def affinegrid(d):
    n, k = d.number(1, 2), d.choose([2, 3])
    return Case("AffineGrid", [d.array(np.float32, [n, k, k + 1]), d.ints([n, 1, *[d.number(2, 4) for _ in range(k)]])], some(align_corners=d.maybe(d.number(0, 1))))


@case("RoiAlign")
def roialign(d):
    n = d.number(1, 4)
    x = d.array(np.float32, [2, d.number(1, 3), 8, 8])
    a = d.rng.uniform(0, 4, [n, 2])
    rois = np.concatenate([a, a + d.rng.uniform(0.5, 4, [n, 2])], 1).astype(np.float32)
    at = some(output_height=d.number(1, 3), output_width=d.number(1, 3), sampling_ratio=d.number(0, 3), spatial_scale=d.choose([0.5, 1.0]), mode=d.maybe(d.choose(["avg", "max"])))
    if d.opset >= 16:
        at.update(some(coordinate_transformation_mode=d.maybe(d.choose(["half_pixel", "output_half_pixel"]))))
    return Case("RoiAlign", [x, rois, d.array(np.int64, [n], 0, 1)], at)


@case("DeformConv")
def deformconv(d):
    cg, group, mg, kernel, og = d.number(1, 2), d.choose([1, 2]), d.number(1, 3), [d.number(1, 3), d.number(1, 3)], 1
    x = d.array(np.float32, [d.number(1, 2), cg * group, d.number(4, 6), d.number(4, 6)])
    pads, strides = [d.number(0, 1) for _ in range(4)], [d.number(1, 2), d.number(1, 2)]
    out = [(x.shape[2 + i] + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i in range(2)]
    if (cg * group) % 2 == 0:
        og = d.choose([1, 2])
    k = kernel[0] * kernel[1]
    offset = d.array(np.float32, [x.shape[0], og * 2 * k, *out], -1, 1)
    mask = d.maybe(d.array(np.float32, [x.shape[0], og * k, *out], 0, 1))
    w = d.array(np.float32, [mg * group, cg, *kernel])
    return Case("DeformConv", [x, w, offset, d.maybe(d.array(np.float32, [mg * group])), mask], {"pads": pads, "strides": strides, "group": group, "offset_group": og, "kernel_shape": kernel})


# Normalisation.


@case("BatchNormalization")
def batchnormalization(d):
    c = d.choose([1, 3, 16, 17])
    x = d.array(d.dtype("T", FLOATS if d.opset >= 14 else F32), [d.number(1, 3), c, *d.shape(0, 3)])
    p = lambda lo: d.array(x.dtype, [c], lo, 2)
    return Case("BatchNormalization", [x, p(-2), p(-2), p(-2), p(0.2)], some(epsilon=d.maybe(1e-3), momentum=d.maybe(0.8)))


@case("InstanceNormalization")
def instancenormalization(d):
    c = d.number(1, 5)
    x = d.array(d.dtype(only=F32), [d.number(1, 3), c, *[d.number(2, 5) for _ in range(d.number(1, 3))]])
    return Case("InstanceNormalization", [x, d.array(x.dtype, [c]), d.array(x.dtype, [c])], some(epsilon=d.maybe(1e-3)))


@case("GroupNormalization")
def groupnormalization(d):
    g = d.number(1, 3)
    c = g * d.number(1, 4)
    x = d.array(d.dtype(only=F32), [d.number(1, 3), c, *[d.number(2, 5) for _ in range(d.number(1, 3))]])
    n = c if d.opset >= 21 else g
    return Case("GroupNormalization", [x, d.array(x.dtype, [n]), d.array(x.dtype, [n])], some(epsilon=d.maybe(1e-3), num_groups=g))


@case("LayerNormalization", "RMSNormalization")
def layernormalization(d):
    x = d.array(d.dtype(only=FLOATS), [d.number(2, 6) for _ in range(d.number(1, 4))])
    axis = d.axis(x.ndim)
    shape = list(x.shape[axis % x.ndim :])
    a = some(axis=axis if axis != -1 else d.maybe(-1), epsilon=d.maybe(1e-3))
    if d.name == "RMSNormalization":
        return Case(d.name, [x, d.array(x.dtype, shape)], a)
    return Case(d.name, [x, d.array(x.dtype, shape), d.maybe(d.array(x.dtype, shape))], a, d.choose([1, 1, 3]))


@case("MeanVarianceNormalization")
def mvn(d):
    x = d.array(np.float32, [d.number(2, 5) for _ in range(4)])
    return Case(d.name, [x], some(axes=d.maybe(d.choose([[0, 1], [2, 3], [0, 2, 3], [1]]))))


@case("LRN")
def lrn(d):
    x = d.array(np.float32, [d.number(1, 2), d.number(1, 20), d.number(1, 4), d.number(1, 4)])
    return Case("LRN", [x], some(size=d.choose([1, 3, 5]), alpha=d.maybe(0.01), beta=d.maybe(0.5), bias=d.maybe(2.0)))


# Recurrent.


ACTIVATIONS = ["Tanh", "Sigmoid", "Relu", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"]


@case("RNN", "GRU", "LSTM")
def recurrent(d):
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[d.name]
    per = {"RNN": 1, "GRU": 2, "LSTM": 3}[d.name]
    t, b, i, h = d.number(1, 5), d.number(1, 4), d.number(1, 6), d.choose([1, 2, 3, 5, 8, 16, 17])
    direction = d.choose([None, "forward", "reverse", "bidirectional"])
    n = 2 if direction == "bidirectional" else 1
    layout = d.number(0, 1) if d.opset >= 14 and d.chance(0.15) else None
    f = lambda *s: d.array(np.float32, s, -1, 1)
    x = f(b, t, i) if layout else f(t, b, i)
    state = lambda: d.maybe(f(b, n, h) if layout else f(n, b, h), 0.4)
    inputs = [x, f(n, gates * h, i), f(n, gates * h, h), d.maybe(f(n, 2 * gates * h)), d.maybe(d.array(np.int32, [b], 1, t), 0.3), state()]
    a = some(hidden_size=h, direction=direction, layout=layout, clip=d.maybe(0.7, 0.2))
    if d.chance(0.25):
        names = [d.choose(ACTIVATIONS) for _ in range(per * n)]
        a["activations"] = names
        a["activation_alpha"] = [float(d.rng.uniform(0.1, 1)) for _ in names]
        a["activation_beta"] = [float(d.rng.uniform(0.1, 1)) for _ in names]
        if d.chance(0.4):
            a["activations"] = [d.choose(["Tanh", "Sigmoid", "Relu"]) for _ in names]
            del a["activation_alpha"], a["activation_beta"]
    if d.name == "GRU":
        a.update(some(linear_before_reset=d.maybe(d.number(0, 1))))
    if d.name == "LSTM":
        inputs += [state(), d.maybe(f(n, 3 * h), 0.3)]
        a.update(some(input_forget=d.maybe(d.number(0, 1), 0.2)))
    return Case(d.name, inputs, a, 3 if d.name == "LSTM" else 2)


# Attention and its companions.


@case("RotaryEmbedding")
def rotary(d):
    b, n, s, h = d.number(1, 2), d.number(1, 3), d.number(1, 5), 2 * d.number(1, 5)
    part = d.choose([0, 0, 2 * d.number(1, h // 2)])
    half = (part or h) // 2
    four = d.chance(0.5)
    x = d.array(np.float32, [b, n, s, h] if four else [b, s, n * h])
    a = some(interleaved=d.maybe(d.number(0, 1)), rotary_embedding_dim=part or None, num_heads=None if four else n)
    if d.chance(0.5):
        m = s + d.number(0, 3)
        return Case(d.name, [x, d.array(np.float32, [m, half]), d.array(np.float32, [m, half]), d.array(np.int64, [b, s], 0, m - 1)], a)
    return Case(d.name, [x, d.array(np.float32, [b, s, half]), d.array(np.float32, [b, s, half])], a)


@case("Attention")
def attention(d):
    b, kv, s, t, h, v = d.number(1, 2), d.number(1, 3), d.number(1, 5), d.number(1, 6), d.number(1, 6), d.number(1, 6)
    q = kv * d.choose([1, 1, 2])
    dtype = d.choose(["float32", "float32", "float16"])
    three = d.chance(0.4)
    make = lambda n, length, size: d.array(dtype, [b, length, n * size] if three else [b, n, length, size], -1, 1)
    inputs = [make(q, s, h), make(kv, t, h), make(kv, t, v)]
    past = d.number(1, 4) if d.chance(0.3) else 0
    total = past + t
    mask = None
    if d.chance(0.5):
        shape = d.choose([[s, total], [b, 1, s, total], [b, q, s, total], [1, 1, s, total]])
        mask = d.array(d.choose([dtype, dtype, "bool"]), shape)
        if mask.dtype == bool:
            mask[..., 0] = True
    inputs.append(mask)
    if past:
        inputs += [d.array(dtype, [b, kv, past, h], -1, 1), d.array(dtype, [b, kv, past, v], -1, 1)]
    a = some(is_causal=d.maybe(d.number(0, 1)), scale=d.maybe(0.3), softcap=d.maybe(2.0, 0.2), q_num_heads=q if three else None, kv_num_heads=kv if three else None)
    if d.chance(0.2):
        a["qk_matmul_output_mode"] = d.number(0, 3)
    return Case("Attention", inputs, a, d.choose([1, 3]) if past else 1 if "qk_matmul_output_mode" not in a else 1)


@case("TensorScatter")
def tensorscatter(d):
    b, n, m, h = d.number(1, 3), d.number(1, 2), d.number(2, 6), d.number(1, 4)
    s = d.number(1, m)
    mode = d.choose([None, "linear", "circular"])
    top = m - 1 if mode == "circular" else m - s
    return Case(d.name, [d.array(np.float32, [b, n, m, h]), d.array(np.float32, [b, n, s, h]), d.maybe(d.array(np.int64, [b], 0, top))], some(mode=mode, axis=d.maybe(-2)))


# Quantised.


BYTES = ["uint8", "int8"]


def bytes_(d, dtype, shape):
    """Weights so small that ONNX Runtime's sums of two products fit 16 bits."""
    return d.array(dtype, shape, -64, 64 if dtype == "int8" else 127)


def point(d, dtype, shape=()):
    return d.array(dtype, shape, -20 if dtype == "int8" else 100, 20 if dtype == "int8" else 150)


def step(d, shape=()):
    return np.asarray(d.rng.uniform(0.01, 0.1, shape)).astype(np.float32)


@case("QuantizeLinear", "DequantizeLinear")
def quantizelinear(d):
    dtype = d.choose(["int8", "uint8"] + (["int16", "uint16"] if d.opset >= 21 else []) + (["int32"] if d.name[0] == "D" else []))
    x = [d.number(1, 6) for _ in range(d.number(1, 4))]
    axis = d.axis(len(x)) if d.opset >= 13 else None
    shape, block = [], None
    if axis is not None and d.chance(0.5):
        shape = [x[axis]]
        if d.opset >= 21 and d.chance(0.6):
            block = d.number(1, 3)
            shape = list(x)
            shape[axis] = -(-x[axis] // block)
    low, high = (-3, 3) if d.name[0] == "Q" else (-120, 250)
    zero = None if dtype == "int32" or d.chance(0.2) else point(d, dtype, shape)
    if d.name[0] == "Q" and zero is None:
        dtype = "uint8"
    values = d.array("float32" if d.name[0] == "Q" else dtype, x, low, high)
    a = some(axis=axis if shape else None, block_size=block)
    return Case(d.name, [values, step(d, shape), zero], a, steps=1)


@case("DynamicQuantizeLinear")
def dynamicquantizelinear(d):
    lo = d.choose([-3, 0, 1])
    return Case(d.name, [d.array(np.float32, [d.number(1, 6) for _ in range(d.number(1, 4))], lo, 4)], {}, 3, steps=1)


@case("QLinearConv", "ConvInteger")
def qlinearconv(d):
    kernel = [d.choose([1, 2, 3, 3]) for _ in range(d.choose([1, 2, 2, 2]))]
    group, cg, mg = d.choose([1, 1, 2, 4]), d.choose([1, 2, 3, 8, 17]), d.choose([1, 2, 4, 16, 17])
    xt, wt = d.choose(BYTES), d.choose(BYTES)
    if d.name == "ConvInteger":
        xt = "uint8" if d.chance(0.7) else "int8"
    x = d.array(xt, [d.number(1, 2), cg * group, *spatial(d, kernel)], -128, 255)
    w = bytes_(d, wt, [mg * group, cg, *kernel])
    a = {**window(d, x, kernel), **some(group=group if group > 1 else None, kernel_shape=d.maybe(kernel))}
    per = [mg * group] if d.chance(0.5) else []
    wz = np.zeros(per, wt) if per else point(d, wt)
    if d.name == "ConvInteger":
        return Case(d.name, [x, w, d.maybe(point(d, xt)), d.maybe(point(d, wt))], a)
    bias = d.maybe(d.array(np.int32, [mg * group], -2000, 2000))
    scale = np.asarray(step(d) * np.sqrt(cg) * 100, np.float32)
    return Case(d.name, [x, step(d), point(d, xt), w, step(d, per), wz, scale, point(d, xt), bias], a, constant=(1, 2, 3, 4, 5, 6, 7, 8) if d.chance(0.7) else (), steps=1)


@case("QLinearMatMul", "MatMulInteger")
def qlinearmatmul(d):
    m, k, n = d.number(1, 20), d.number(1, 40), d.number(1, 20)
    lead = [max(1, v) for v in d.shape(0, 2, 3)]
    at, bt = d.choose(BYTES), d.choose(BYTES)
    a, b = d.array(at, [*lead, m, k], -128, 255), bytes_(d, bt, [*(lead if d.chance(0.4) else []), k, n])
    if d.name == "MatMulInteger":
        bz = point(d, bt, [n]) if d.chance(0.4) and b.ndim == 2 else point(d, bt)
        return Case(d.name, [a, b, d.maybe(point(d, at), 0.7), d.maybe(bz, 0.7)])
    per = [n] if d.chance(0.4) and b.ndim == 2 else []
    return Case(d.name, [a, step(d), point(d, at), b, step(d, per), point(d, bt, per), np.array(2.5, np.float32), point(d, at)], steps=1)


@case("QLinearAdd", "QLinearMul")
def qlinearbinary(d):
    dtype, shape = d.choose(BYTES), d.shape(1, 4)
    operand = lambda s: [d.array(dtype, s, -128, 255), step(d), point(d, dtype)]
    return Case(d.name, [*operand(shape), *operand(d.broadcast(shape)), np.array(step(d) * (2 if d.name == "QLinearAdd" else 5), np.float32), point(d, dtype)], domain="com.microsoft", constant=(1, 2, 4, 5, 6, 7), steps=1)


@case("QLinearSigmoid", "QLinearLeakyRelu")
def qlinearunary(d):
    dtype = d.choose(BYTES)
    a = some(alpha=d.maybe(0.2)) if d.name == "QLinearLeakyRelu" else {}
    return Case(d.name, [d.array(dtype, d.shape(1, 4), -128, 255), step(d), point(d, dtype), np.array(step(d) / 4, np.float32), point(d, dtype)], a, domain="com.microsoft", constant=(1, 2, 3, 4), steps=1)


@case("QLinearConcat")
def qlinearconcat(d):
    dtype = d.choose(BYTES)
    shape = [d.number(1, 4) for _ in range(d.number(1, 4))]
    axis = d.axis(len(shape))
    inputs = [step(d), point(d, dtype)]
    for _ in range(d.number(1, 3)):
        s = list(shape)
        s[axis] = d.number(1, 4)
        inputs += [d.array(dtype, s, -128, 255), step(d), point(d, dtype)]
    fixed = [0, 1] + [i for i in range(2, len(inputs)) if (i - 2) % 3]
    return Case(d.name, inputs, {"axis": axis}, domain="com.microsoft", constant=tuple(fixed), steps=1)


@case("QLinearGlobalAveragePool", "QLinearAveragePool")
def qlinearpool(d):
    dtype = d.choose(BYTES)
    last = d.maybe(d.number(0, 1))
    kernel = [d.number(1, 3), d.number(1, 3)]
    size = spatial(d, kernel, 1)
    c = d.choose([1, 3, 16])
    x = d.array(dtype, [d.number(1, 2), *size, c] if last else [d.number(1, 2), c, *size], -128, 255)
    inputs = [x, step(d), point(d, dtype), step(d), point(d, dtype)]
    if d.name == "QLinearGlobalAveragePool":
        return Case(d.name, inputs, some(channels_last=last), domain="com.microsoft", constant=(1, 2, 3, 4), steps=1)
    a = window(d, x, kernel, False, True)
    return Case(d.name, inputs, {**a, **some(kernel_shape=kernel, channels_last=last, count_include_pad=d.maybe(d.number(0, 1)))}, domain="com.microsoft", constant=(1, 2, 3, 4), steps=1)


@case("QLinearSoftmax")
def qlinearsoftmax(d):
    dtype = d.choose(BYTES)
    x = d.array(dtype, [d.number(1, 5) for _ in range(d.number(1, 4))], -128, 255)
    zero = np.array(0 if dtype == "uint8" else -128, dtype)
    return Case(d.name, [x, step(d), point(d, dtype), np.array(1 / 256, np.float32), zero], {"axis": d.axis(x.ndim), "opset": d.choose([11, 13])}, domain="com.microsoft", constant=(1, 2, 3, 4), steps=1)


@case("QGemm")
def qgemm(d):
    m, k, n = d.number(1, 10), d.number(1, 20), d.number(1, 20)
    at = d.choose(BYTES)
    bt = d.choose(BYTES) if at == "uint8" else "int8"
    ta, tb = d.number(0, 1), d.number(0, 1)
    per = [n] if d.chance(0.4) else []
    c = d.maybe(d.array(np.int32, d.choose([[n], [1, n], [m, n]]), -500, 500))
    inputs = [d.array(at, [k, m] if ta else [m, k], -128, 255), step(d), point(d, at), bytes_(d, bt, [n, k] if tb else [k, n]), step(d, per), point(d, bt, per), c]
    if d.chance(0.7):
        inputs += [np.array(2, np.float32), point(d, at)]
    return Case(d.name, inputs, some(transA=ta, transB=tb, alpha=d.maybe(0.5)), domain="com.microsoft", steps=1)


@case("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
def matmulfloat(d):
    m, k, n = d.number(1, 10), d.number(1, 20), d.number(1, 20)
    bt = d.choose(BYTES)
    per = [n] if d.chance(0.4) else []
    b = [bytes_(d, bt, [k, n])]
    lead = d.shape(0, 1, 3)
    lead = [max(1, v) for v in lead]
    bias = d.maybe(d.array(np.float32, [n]))
    if d.name == "DynamicQuantizeMatMul":
        return Case(d.name, [d.array(np.float32, [*lead, m, k]), *b, step(d, per), d.maybe(point(d, bt, per)), bias], domain="com.microsoft")
    at = d.choose(BYTES)
    return Case(d.name, [d.array(at, [*lead, m, k], -128, 255), *b, step(d), step(d, per), d.maybe(point(d, at), 0.8), d.maybe(point(d, bt, per)), bias], domain="com.microsoft")


# ONNX Runtime's own.


@case("FastGelu", "BiasGelu", "QuickGelu", "com.microsoft.Gelu")
def contribgelu(d):
    name = d.name.split(".")[-1]
    x = d.array(np.float32, [d.number(1, 5) for _ in range(d.number(1, 4))])
    bias = d.array(np.float32, [x.shape[-1]])
    inputs = {"FastGelu": [x, d.maybe(bias)], "BiasGelu": [x, bias]}.get(name, [x])
    return Case(name, inputs, some(alpha=d.maybe(1.3)) if name == "QuickGelu" else {}, domain="com.microsoft")


@case("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "SimplifiedLayerNormalization")
def skipnormalization(d):
    b, s, h = d.number(1, 3), d.number(1, 4), d.number(2, 9)
    f = lambda *shape: d.array(np.float32, shape)
    a = some(epsilon=d.maybe(1e-3))
    if d.name == "SimplifiedLayerNormalization":
        return Case(d.name, [f(b, s, h), f(h)], {**a, "axis": -1, "stash_type": 1})
    skip = f(b, s, h) if d.chance(0.7) else d.choose([f(s, h), f(1, s, h)])
    inputs = [f(b, s, h), skip, f(h)]
    if d.name == "SkipLayerNormalization":
        inputs.append(d.maybe(f(h)))
    inputs.append(d.maybe(f(h)))
    return Case(d.name, inputs, a, d.choose([(1,), (1, 0, 0, 1)]), domain="com.microsoft")


@case("EmbedLayerNormalization")
def embed(d):
    b, s, h, words = d.number(1, 3), d.number(1, 4), d.number(2, 9), 7
    f = lambda *shape: d.array(np.float32, shape)
    segments = d.chance(0.6)
    i32 = lambda top, *shape: d.array(np.int32, shape, 0, top)
    mask = np.sort(i32(1, b, s), 1)[:, ::-1].copy() if d.chance(0.5) else None
    position = d.array(np.int32, [b, s], 0, 5) if d.chance(0.3) else None
    return Case(d.name, [i32(words - 1, b, s), i32(1, b, s) if segments else None, f(words, h), f(6, h), f(2, h) if segments else None, f(h), f(h), mask, position], some(epsilon=d.maybe(1e-3)), 2, domain="com.microsoft")


@case("com.microsoft.Attention")
def contribattention(d):
    b, s, n, h, i = d.number(1, 2), d.number(1, 5), d.number(1, 3), d.number(1, 4), d.number(2, 6)
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    mask = None
    if d.chance(0.5):
        kind = d.number(0, 2)
        if kind == 0:
            mask = d.array(np.int32, [b], 1, s)
        elif kind == 1:
            mask = d.array(np.int32, [b, s], 0, 1)
            mask[:, 0] = 1
        else:
            mask = d.array(np.int32, [b, s, s], 0, 1)
            mask[:, :, 0] = 1
    bias = f(d.choose([1, b]), n, s, s) if d.chance(0.3) else None
    past = None
    if mask is None and bias is None and d.chance(0.5):
        past = f(2, b, n, d.number(1, 4), h)
    outputs = 1 if past is None else 2
    return Case("Attention", [f(b, s, i), f(i, 3 * n * h), f(3 * n * h), mask, past, bias], outputs=outputs, attributes=some(num_heads=n, unidirectional=d.maybe(d.number(0, 1)), scale=d.maybe(0.4)), domain="com.microsoft", constant=(1, 2))


@case("MultiHeadAttention")
def multihead(d):
    b, s, t, n, h, v = d.number(1, 2), d.number(1, 5), d.number(1, 6), d.number(1, 3), d.number(1, 4), d.number(1, 4)
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    mask = None
    if d.chance(0.4):
        mask = d.array(np.int32, [b, t], 0, 1)
        mask[:, 0] = 1
    bias = f(n * (h + h + v)) if d.chance(0.5) else None
    qk = f(d.choose([1, b]), n, s, t) if d.chance(0.4) else None
    a = some(num_heads=n, scale=d.maybe(0.4), unidirectional=d.number(0, 1) if s == t and d.chance(0.3) else None)
    if bias is None and mask is None and qk is None and d.chance(0.4):
        p = d.number(1, 3)
        return Case(d.name, [f(b, s, n * h), f(b, s, n * h), f(b, s, n * h), None, None, None, f(b, n, p, h), f(b, n, p, h)], a, 3, domain="com.microsoft")
    if mask is None and qk is None and d.chance(0.3):  # of another sequence
        return Case(d.name, [f(b, s, n * h), f(b, n, t, h), f(b, n, t, h)], some(num_heads=n), domain="com.microsoft")
    return Case(d.name, [f(b, s, n * h), f(b, t, n * h), f(b, t, n * v), bias, mask, qk], a, domain="com.microsoft")


@case("com.microsoft.RotaryEmbedding")
def contribrotary(d):
    b, n, s, h = d.number(1, 2), d.number(1, 3), d.number(1, 5), 2 * d.number(1, 5)
    four = d.chance(0.4)
    m = s + d.number(0, 3)
    part = 2 * d.number(1, h // 2) if d.chance(0.3) else 0
    half = (part or h) // 2
    x = d.array(np.float32, [b, n, s, h] if four else [b, s, n * h])
    position = d.array(np.int64, [b, s], 0, m - 1) if d.chance(0.6) else d.array(np.int64, [1], 0, m - s)
    a = some(interleaved=d.maybe(d.number(0, 1)), num_heads=n, rotary_embedding_dim=part or None)
    return Case("RotaryEmbedding", [x, position, d.array(np.float32, [m, half]), d.array(np.float32, [m, half])], a, domain="com.microsoft")


@case("GroupQueryAttention")
def groupquery(d):
    b, kv, h, past = d.number(1, 2), d.number(1, 2), 16 * d.number(1, 2), d.number(0, 4)
    q = kv * d.choose([1, 2, 3])
    s = 1 if past and d.chance(0.7) else d.number(1, 5)
    if past and s > 1 and b > 1:
        b = 1
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    packed = d.chance(0.3)
    query = f(b, s, (q + 2 * kv) * h) if packed else f(b, s, q * h)
    key, value = (None, None) if packed else (f(b, s, kv * h), f(b, s, kv * h))
    total = past + s
    lengths = np.full([b], total - 1, np.int32)
    if b > 1 and s == 1:
        lengths = d.array(np.int32, [b], 0, total - 1)
        lengths[0] = total - 1
    inputs = [query, key, value, f(b, kv, past, h), f(b, kv, past, h), lengths, np.array(total, np.int32)]
    a = some(num_heads=q, kv_num_heads=kv, scale=d.maybe(0.3), softcap=d.maybe(5.0, 0.2), local_window_size=d.maybe(d.number(1, 4), 0.2))
    if d.chance(0.5):
        a.update(do_rotary=1, **some(rotary_interleaved=d.maybe(d.number(0, 1))))
        inputs += [f(total + 2, h // 2), f(total + 2, h // 2)]
    return Case(d.name, inputs, a, 3, domain="com.microsoft", constant=(7, 8), variable=(0, 1, 2, 3, 4, 5, 6))


@case("MatMulNBits")
def matmulnbits(d):
    bits = d.choose([4, 4, 8])
    m, n, block = d.number(1, 5), d.number(1, 20), d.choose([16, 32, 64])
    k = d.choose([block, 2 * block, block + 16, 3 * block - 8])
    blocks = -(-k // block)
    b = d.array(np.uint8, [n, blocks, block * bits // 8], 0, 255)
    scales = step(d, [n, blocks]) if d.chance(0.5) else step(d, [n * blocks])
    zero = d.array(np.uint8, [n * (-(-blocks * bits // 8))], 0, 255) if d.chance(0.5) else None
    bias = d.array(np.float32, [n]) if d.chance(0.3) else None
    x = d.array(np.float32, [*[max(1, v) for v in d.shape(0, 1, 3)], m, k])
    a = some(K=k, N=n, bits=bits, block_size=block, accuracy_level=d.maybe(d.choose([0, 1])))
    return Case(d.name, [x, b, scales, zero, None, bias], a, domain="com.microsoft", constant=(1, 2, 3))


@case("FusedMatMul")
def fusedmatmul(d):
    m, k, n = d.number(1, 9), d.number(1, 9), d.number(1, 9)
    lead = [max(1, v) for v in d.shape(0, 2, 3)]
    ta, tb = d.number(0, 1), d.number(0, 1)
    return Case(d.name, [d.array(np.float32, [*lead, *((k, m) if ta else (m, k))]), d.array(np.float32, [*lead, *((n, k) if tb else (k, n))])], some(transA=ta, transB=tb, alpha=d.maybe(0.3)), domain="com.microsoft")


@case("QAttention")
def qattention(d):
    b, s, n, h, i = d.number(1, 2), d.number(1, 5), d.number(1, 3), d.number(1, 4), d.number(2, 6)
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    step = lambda d, shape=(): (d.rng.uniform(0.01, 0.1, shape) / 4).astype(np.float32)  # scores far below the mask's 10000
    at, wt = "uint8" if d.chance(0.7) else "int8", d.choose(BYTES)
    per = [3 * n * h] if d.chance(0.4) else []
    mask = d.maybe(d.array(np.int32, [b], 1, s))
    past = f(2, b, n, d.number(1, 4), h) if mask is None and d.chance(0.4) else None
    inputs = [d.array(at, [b, s, i], -128, 255), bytes_(d, wt, [i, 3 * n * h]), f(3 * n * h), step(d), step(d, per), mask, point(d, at), point(d, wt, per), past]
    return Case(d.name, inputs, some(num_heads=n, unidirectional=d.maybe(d.number(0, 1)), scale=d.maybe(0.4)), 1 if past is None else 2, domain="com.microsoft", constant=(1, 2, 3, 4, 6, 7))


@case("QEmbedLayerNormalization")
def qembed(d):
    b, s, h, words = d.number(1, 3), d.number(1, 4), d.number(2, 9), 7
    segments, dtype = d.chance(0.6), d.choose(BYTES)
    i32 = lambda top, *shape: d.array(np.int32, shape, 0, top)
    q = lambda *shape: d.array(dtype, shape, -128, 255)
    mask = np.sort(i32(1, b, s), 1)[:, ::-1].copy() if d.chance(0.5) else None
    given = lambda x: x if segments else None
    tables = [q(words, h), q(6, h), given(q(2, h)), q(h), q(h)]
    scales = [step(d), step(d), given(step(d)), step(d), step(d)]
    zeros = [point(d, dtype), point(d, dtype), given(point(d, dtype)), point(d, dtype), point(d, dtype)]
    return Case(d.name, [i32(words - 1, b, s), given(i32(1, b, s)), *tables, mask, *scales, *zeros], some(epsilon=d.maybe(1e-3)), 2, domain="com.microsoft", constant=tuple([2, 3, 4, 5, 6, *range(8, 18)]))


@case("DynamicQuantizeLSTM")
def dynamicquantizelstm(d):
    t, b, i, h = d.number(1, 3), d.number(1, 3), d.number(1, 6), d.number(1, 6)
    direction = d.choose([None, "forward", "reverse", "bidirectional"])
    n = 2 if direction == "bidirectional" else 1
    dtype = d.choose(BYTES)
    f = lambda *s: d.array(np.float32, s, -1, 1)
    per = [n, 4 * h] if d.chance(0.4) else [n]
    small = lambda: (step(d, per) / 20).astype(np.float32)  # so that the rounding of states is within the tolerance
    zero = lambda: np.zeros(per, dtype) if len(per) == 2 else point(d, dtype, per)
    inputs = [f(t, b, i), bytes_(d, dtype, [n, i, 4 * h]), bytes_(d, dtype, [n, h, 4 * h]), d.maybe(f(n, 8 * h)), None, None, None, None, small(), zero(), small(), zero()]
    return Case(d.name, inputs, some(hidden_size=h, direction=direction), 3, domain="com.microsoft", constant=(1, 2, 8, 9, 10, 11), loose=10)


@case("NhwcMaxPool")
def nhwcmaxpool(d):
    kernel = [d.number(1, 3), d.number(1, 3)]
    x = d.array(d.choose(BYTES), [d.number(1, 2), *spatial(d, kernel), d.choose([1, 3, 16])], -128, 255)
    return Case(d.name, [x], {**window(d, x, kernel, True, True), "kernel_shape": kernel}, domain="com.microsoft")


@case("com.microsoft.QLinearConv")
def nhwcqlinearconv(d):
    kernel = [d.choose([1, 3]), d.choose([1, 2, 3])]
    group, cg, mg = d.choose([1, 1, 2]), d.choose([1, 3, 8]), d.choose([1, 4, 17])
    last = d.number(0, 1)
    size, c = spatial(d, kernel), cg * group
    x = d.array("uint8", [1, *size, c] if last else [1, c, *size], -128, 255)
    w = bytes_(d, "int8", [mg * group, cg, *kernel])
    per = [mg * group] if d.chance(0.5) else []
    a = {**window(d, x, kernel), **some(group=group if group > 1 else None, channels_last=last or d.maybe(0))}
    scale = np.asarray(step(d) * np.sqrt(cg) * 100, np.float32)
    bias = d.maybe(d.array(np.int32, [mg * group], -2000, 2000))
    return Case("QLinearConv", [x, step(d), point(d, "uint8"), w, step(d, per), np.zeros(per, np.int8), scale, point(d, "uint8"), bias], a, domain="com.microsoft", constant=(1, 2, 3, 4, 5, 6, 7, 8), steps=1)


@case("GatherBlockQuantized")
def gatherblocks(d):
    bits, block, rows = d.choose([4, 4, 8]), 16, d.number(1, 6)
    k = d.choose([16, 32, 40])
    blocks = -(-k // block)
    data = d.array(np.uint8, [rows, k * bits // 8], 0, 255)
    zeros = d.array(np.uint8, [rows, -(-blocks * bits // 8)], 0, 255) if d.chance(0.5) else None
    indices = d.array(d.choose([np.int64, np.int32]), d.shape(0, 2, 3), -rows, rows - 1)
    return Case(d.name, [data, indices, step(d, [rows, blocks]), zeros], some(bits=bits, block_size=block, gather_axis=d.maybe(0), quantize_axis=d.maybe(1)), domain="com.microsoft", constant=(0, 2, 3))


@case("com.microsoft.Trilu", "com.microsoft.GridSample", "com.microsoft.Range", "com.microsoft.GatherND", "ExpandDims")
def contribsame(d):
    name = d.name.split(".")[-1]
    if name == "Range":
        start, n, by = d.number(-5, 5), d.number(0, 6), d.choose([1, 2, -1])
        return Case(name, [np.array(v, np.float32) for v in (start, start + n * by, by)], domain="com.microsoft")
    if name == "GridSample":
        grid = d.array(np.float32, [1, 3, 2, 2], -1.3, 1.3)
        return Case(name, [d.array(np.float32, [1, 2, 4, 3]), grid], some(mode=d.maybe(d.choose(["bilinear", "nearest", "bicubic"])), padding_mode=d.maybe(d.choose(["zeros", "border", "reflection"])), align_corners=d.maybe(d.number(0, 1))), domain="com.microsoft")
    x = d.array(np.float32, [d.number(1, 4) for _ in range(d.number(2, 4))])
    if name == "Trilu":
        return Case(name, [x, d.maybe(np.array(d.number(-3, 3), np.int64))], some(upper=d.maybe(d.number(0, 1))), domain="com.microsoft")
    if name == "GatherND":
        return Case(name, [x, d.array(np.int64, [3, 1], 0, x.shape[0] - 1)], domain="com.microsoft")
    return Case(name, [x, np.array(d.axis(x.ndim), np.int32)], domain="com.microsoft", constant=(1,))


@case("LinearAttention", "com.microsoft.LinearAttention")
def linearattention(d):
    b, t, n, h, v = d.number(1, 2), d.number(1, 5), d.number(1, 3), d.number(1, 5), d.number(1, 5)
    shared = d.choose([1, 1, 2])
    rule = d.choose([None, "linear", "gated", "delta", "gated_delta"])
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    gated, delta = rule in (None, "gated", "gated_delta"), rule in (None, "delta", "gated_delta")
    inputs = [f(b, t, n * shared * h), f(b, t, n * h), f(b, t, n * v), d.maybe(f(b, n, h, v))]
    inputs += [f(b, t, d.choose([n, n * h])) if gated else None, f(b, t, d.choose([n, 1])) if delta else None]
    contrib = "." in d.name
    return Case("LinearAttention", inputs, some(q_num_heads=n * shared, kv_num_heads=n, update_rule=rule, scale=d.maybe(0.3)), 2, domain="com.microsoft" if contrib else "")


@case("CausalConvWithState", "com.microsoft.CausalConvWithState")
def causalconv(d):
    b, c, n, k = d.number(1, 2), d.number(1, 5), d.number(1, 6), d.number(2 if "." in d.name else 1, 4)
    f = lambda *shape: d.array(np.float32, shape, -1, 1)
    a = some(activation=d.maybe(d.choose(["none", "silu", "swish"])))
    return Case("CausalConvWithState", [f(b, c, n), f(c, 1, k), d.maybe(f(c)), d.maybe(f(b, c, k - 1))], a, 2, domain="com.microsoft" if "." in d.name else "")


@case("SwiGLU")
def swiglu(d):
    x = d.any()
    return Case(d.name, [x, d.array(x.dtype, x.shape)], some(alpha=d.maybe(1.4)))


@case("MaxRoiPool")
def maxroipool(d):
    n, r = d.number(1, 2), d.number(1, 4)
    x = d.array(np.float32, [n, d.number(1, 3), d.number(2, 8), d.number(2, 8)])
    corners = d.rng.uniform(-1, 9, [r, 4])
    rois = np.concatenate([d.rng.integers(0, n, [r, 1]), corners], 1).astype(np.float32)
    return Case(d.name, [x, rois], {"pooled_shape": [d.number(1, 3), d.number(1, 3)], **some(spatial_scale=d.maybe(0.5))})


# Signals and the rest.


@case("DFT")
def dft(d):
    b, n = d.number(1, 2), d.number(1, 9)
    inverse = d.number(0, 1)
    onesided = 0 if inverse else d.number(0, 1)
    x = d.array(np.float32, [b, n, d.number(1, 2), 1 if onesided else d.number(1, 2)])
    length = d.maybe(np.array(d.number(1, 9), np.int64), 0.3)
    axis = d.choose([1, 2, -2])
    if d.opset < 20:
        return Case("DFT", [x, length], {"axis": axis, "inverse": inverse, "onesided": onesided})
    return Case("DFT", [x, length, np.array(axis, np.int64)], {"inverse": inverse, "onesided": onesided})


@case("HannWindow", "HammingWindow", "BlackmanWindow")
def windows(d):
    return Case(d.name, [np.array(d.number(2, 9), np.int64)], some(periodic=d.maybe(d.number(0, 1)), output_datatype=d.maybe(d.choose([1, 11]))))


@case("NonMaxSuppression")
def nms(d):
    b, n, c = d.number(1, 2), d.number(1, 8), d.number(1, 3)
    a = d.rng.uniform(0, 5, [b, n, 2])
    center = d.number(0, 1)
    boxes = np.concatenate([a, a + d.rng.uniform(0.5, 4, [b, n, 2])], 2).astype(np.float32)
    return Case(d.name, [boxes, d.array(np.float32, [b, c, n], 0, 1), d.maybe(d.ints([d.number(0, 4)]), 0.8), d.maybe(np.array([0.4], np.float32)), d.maybe(np.array([0.3], np.float32))], some(center_point_box=center or d.maybe(0)))


@case("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(d):
    n, c, rest = d.number(1, 4), d.number(1, 5), [max(1, v) for v in d.shape(0, 2, 4)]
    x, t = d.array(np.float32, [n, c, *rest]), d.array(np.int64, [n, *rest], 0, c - 1)
    a = some(reduction=d.maybe(d.choose(["mean", "sum", "none"])), ignore_index=d.maybe(d.number(0, c - 1), 0.3))
    return Case(d.name, [x, t, d.maybe(d.array(np.float32, [c], 0.1, 1))], a, d.choose([1, 2]) if d.name[0] == "S" else 1)
