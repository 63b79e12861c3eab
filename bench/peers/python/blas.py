"""Times NumPy's matrix products on one thread: prints the name of its BLAS and
its best rates in 10^9 operations a second for sizes MxNxK, as JSON."""

import json
import os
import time

for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"

import numpy

SIZES = [(128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (126, 768, 768), (1, 1000, 2048), (1, 4096, 25088)]
TRIES = 20


def rate(m, n, k):
    a, b = numpy.ones((m, k), numpy.float32), numpy.ones((k, n), numpy.float32)
    out = numpy.empty((m, n), numpy.float32)
    best = float("inf")
    for _ in range(TRIES):
        start = time.perf_counter()
        numpy.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * m * n * k / best / 1e9


blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
products = [{"package": "blas", "case": f"{m}x{n}x{k}", "gflops": rate(m, n, k)} for m, n, k in SIZES]
print(json.dumps({"blas": f"{blas['name']} {blas['version']}", "products": products}))
