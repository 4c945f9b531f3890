"""Isolation forest: rows scored a CPU second on one core, ours against scikit-learn and onnxruntime.

    python benchmarks/forest.py [--quick] [--json FILE] [--lines FILE.parquet]

All three score the same float32 feature matrix with the same trees: 100 trees of 256 rows each, grown by scikit-learn
on the first half of the lines. The lines are those of benchmarks/features.py, made ones or the column command_line of a
Parquet file. They are scored in batches of 16,384, as larger ones make scikit-learn slower. Each case runs ours and its
peer in turn, several times, on one thread; the table gives medians of CPU time. Scores are compared before the clock
starts: they may differ by 1e-6. Peers:
  scikit-learn  IsolationForest.score_samples
  onnxruntime   the same forest converted by skl2onnx, in one session of one thread
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import sklearn
from features import in_turn, make_lines, read_lines
from joblib import parallel_config
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from cmdclf.detect.flatforest import FlatForest
from cmdclf.features import FeatureMaker

TOLERANCE = 1e-6
BATCH = 16_384


def onnx_session(forest: IsolationForest, row: np.ndarray) -> onnxruntime.InferenceSession:
    # The converter has no isolation forest for newer operator sets.
    opset = {"": 21, "ai.onnx.ml": 3}
    model = to_onnx(forest, row, target_opset=opset, options={id(forest): {"score_samples": True}})
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--lines", metavar="FILE", help="a Parquet file with command_line instead of made lines")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    threadpool_limits(1)
    n, rounds = (BATCH, 3) if args.quick else (4 * BATCH, 5)

    batch = read_lines(args.lines, n) if args.lines else make_lines(n)
    matrix = FeatureMaker().fit(batch).matrix(batch)
    n = len(matrix)
    grown = IsolationForest(n_estimators=100, max_samples=min(256, n), random_state=0).fit(matrix[: max(1, n // 2)])
    forest = FlatForest.from_scikit_learn(grown)
    session = onnx_session(grown, matrix[:1])
    inputs, outputs = session.get_inputs()[0].name, [session.get_outputs()[-1].name]

    def in_batches(score) -> np.ndarray:
        return np.concatenate([score(matrix[at : at + BATCH]) for at in range(0, n, BATCH)])

    def by_us() -> np.ndarray:
        return in_batches(forest.score_samples)

    def by_scikit_learn() -> np.ndarray:
        with parallel_config(n_jobs=1):
            return -in_batches(grown.score_samples)

    def by_onnxruntime() -> np.ndarray:
        return -in_batches(lambda part: session.run(outputs, {inputs: part})[0].ravel())

    start = time.perf_counter()
    forest.score_samples(matrix[:1])
    first_use = time.perf_counter() - start
    scores = by_us()
    peers = {
        f"scikit-learn {sklearn.__version__}": by_scikit_learn,
        f"onnxruntime {onnxruntime.__version__}": by_onnxruntime,
    }
    rows = []
    for peer_name, peer in peers.items():
        difference = float(np.abs(peer() - scores).max())
        if not difference <= TOLERANCE:
            raise SystemExit(f"our scores differ from those of {peer_name} by up to {difference:.1e}")
        mine, theirs = in_turn(by_us, peer, rounds)
        rows.append(
            {
                "case": f"{forest.n_trees} trees of {forest.max_samples} rows",
                "ours": round(n / mine),
                "peer": round(n / theirs),
                "peer_name": peer_name,
                "ratio": round(theirs / mine, 1),
                "unit": "rows per CPU second",
                "n": n,
                "largest_difference": difference,
            }
        )
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "name": "forest",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "rows": rows,
        "memory_mb": round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "columns": matrix.shape[1],
        "model_bytes": sum(array.nbytes for array in forest.arrays().values()),
        "first_use_s": round(first_use, 2),
    }
    head = f"{'case':<26}{'ours':>10}{'peer':>10}  {'peer is':<20}{'ratio':>6}{'differ by':>11}"
    print(f"{head}   {rows[0]['unit']}, n = {n:,}")
    for row in rows:
        print(
            f"{row['case']:<26}{row['ours']:>10,}{row['peer']:>10,}  {row['peer_name']:<20}{row['ratio']:>6}"
            f"{row['largest_difference']:>11.0e}"
        )
    print(
        f"{result['columns']} columns, {result['model_bytes']:,} bytes of trees, first use {result['first_use_s']} s, "
        f"memory {result['memory_mb']} MB, {result['machine']}"
    )
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
