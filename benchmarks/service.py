"""The service over HTTP against the same model in process: milliseconds per request and lines per second.

    python benchmarks/service.py [--quick] [--json FILE] [--model DIR]

Ours is `cmdclf serve` in a process of its own, asked over one kept-alive connection of this machine, in batches of 1,
100 and 1,000 lines. The peer is what any service has to do at the least: features of the lines and one onnxruntime
call, in this process, on lines that already lie in Arrow. Both take turns on the same lines, with a pause between, and
the scores are compared first. The table gives medians: `over` is what HTTP, JSON, checks and BentoML add to a request,
`over CPU` the same in processor time. A last part asks with several connections at once, for the throughput of one
worker and its slowest requests.

Lines are drawn from the bundled lexicon. Without --model a model is trained on some of them; the speed depends little
on what it has learnt.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from threadpoolctl import threadpool_limits

from cmdclf.classify import Classifier, Featuriser, Scorer, export_model
from cmdclf.features import FeatureMaker, load_embedder
from cmdclf.lexicon.pools import LexiconPool

BATCHES = (1, 100, 1000)
CONNECTIONS = 8
#: Between two turns: what one process still has to do after its answer must not be charged to the other.
PAUSE_S = 0.03


def draw_lines(n: int) -> tuple[pa.RecordBatch, np.ndarray]:
    """`n` lines of the lexicon with their platforms, and whether each is malicious."""
    pool = LexiconPool()
    rng = random.Random(11)
    rows = np.array([rng.randrange(len(pool.table.malicious)) for _ in range(n)])
    lines, _ = pool.lines(rows, rng)
    batch = pa.record_batch({"command_line": lines, "platform": pa.array(pool.table.platform[rows], pa.string())})
    return batch, pool.table.malicious[rows].astype(int)


def train(batch: pa.RecordBatch, labels: np.ndarray, folder: Path) -> Path:
    featuriser = Featuriser(FeatureMaker().fit([batch]), load_embedder())
    classifier = Classifier(folds=1).fit(featuriser.matrix(batch), labels)
    return export_model(folder, classifier, featuriser, name="benchmark", provenance={}, metrics={})


@contextmanager
def served(model: Path, work: Path):
    """(port, process) of `cmdclf serve` on one worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CMDCLF_", "BENTOML_"))}
    env |= {"BENTOML_HOME": str(work / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "cmdclf", "serve", "--model", str(model), "--port", str(port)]
    with (work / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the server did not start:\n{(work / 'log.txt').read_text()}") from None
                time.sleep(0.1)
        yield port, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def body_of(batch: pa.RecordBatch) -> bytes:
    return json.dumps({"lines": batch.to_pylist()}).encode()


def ask(connection: http.client.HTTPConnection, body: bytes) -> dict:
    connection.request("POST", "/score", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    data = response.read()
    if response.status != 200:
        raise SystemExit(f"status {response.status}: {data[:200]!r}")
    return json.loads(data)


def raw(scorer: Scorer, batch: pa.RecordBatch) -> np.ndarray:
    return scorer._run(scorer.featuriser.matrix(batch))


def in_turn(
    scorer: Scorer, port: int, process: subprocess.Popen, parts: list[pa.RecordBatch], seconds: float
) -> tuple[list[float], list[float], float]:
    """Seconds of each request over HTTP and of each call in process, in turn on the same lines.

    The third value is how much more processor time the server takes for a request than the call in process.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    bodies = [body_of(part) for part in parts]
    got = np.array([r["score"] for r in ask(connection, bodies[0])["results"]])
    if not np.allclose(got, raw(scorer, parts[0]), atol=1e-6, rtol=0):
        raise SystemExit("the service's scores are not those of onnxruntime")
    ours, peer = [], []
    cpu_peer, cpu_ours = 0.0, -server_cpu(process)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ours) < 5:
        k = len(ours) % len(parts)
        start = time.perf_counter()
        ask(connection, bodies[k])
        ours.append(time.perf_counter() - start)
        time.sleep(PAUSE_S)
        start, cpu = time.perf_counter(), time.process_time()
        raw(scorer, parts[k])
        peer.append(time.perf_counter() - start)
        cpu_peer += time.process_time() - cpu
        time.sleep(PAUSE_S)
    cpu_ours += server_cpu(process)
    connection.close()
    return ours, peer, (cpu_ours - cpu_peer) / len(ours)


def at_once(port: int, bodies: list[bytes], seconds: float) -> list[float]:
    """Seconds of each request when CONNECTIONS clients ask at once, for about `seconds`."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        k = first
        while time.perf_counter() < end:
            start = time.perf_counter()
            ask(connection, bodies[k % len(bodies)])
            times.append(time.perf_counter() - start)
            k += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(k,)) for k in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def family(process: subprocess.Popen) -> list[psutil.Process]:
    """BentoML's supervisor and its worker."""
    return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]


def server_cpu(process: subprocess.Popen) -> float:
    return sum(sum(p.cpu_times()[:2]) for p in family(process))


def measure(scorer: Scorer, port: int, process: subprocess.Popen, lines: pa.RecordBatch, seconds: float) -> list[dict]:
    rows = []
    for n in BATCHES:
        parts = [lines.slice(k, n) for k in range(0, lines.num_rows - n + 1, n)][:50]
        ours, peer, over_cpu = in_turn(scorer, port, process, parts, seconds)
        mine, theirs = statistics.median(ours), statistics.median(peer)
        rows.append(
            {
                "case": f"batches of {n}",
                "ours": round(n / mine),
                "peer": round(n / theirs),
                "peer_name": "in process",
                "ratio": round(theirs / mine, 3),
                "unit": "lines/s",
                "n": len(ours),
                "ours_ms": round(mine * 1e3, 2),
                "peer_ms": round(theirs * 1e3, 2),
                "over_ms": round((mine - theirs) * 1e3, 2),
                "over_cpu_ms": round(over_cpu * 1e3, 2),
                "ours_p99_ms": round(float(np.quantile(ours, 0.99)) * 1e3, 1),
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--model", metavar="DIR", help="a model folder instead of one that is trained here")
    args = parser.parse_args()
    seconds = 3.0 if args.quick else 15.0
    threadpool_limits(1, user_api="blas")  # as in the service: spinning threads would slow both sides down

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lines, labels = draw_lines(3_000 if args.quick else 20_000)
        model = Path(args.model).resolve() if args.model else train(lines, labels, work / "model")
        scorer = Scorer.load(model, threads=1)
        with served(model, work) as (port, process):
            rows = measure(scorer, port, process, lines, seconds)
            together = []
            for n in BATCHES:
                bodies = [body_of(lines.slice(k, n)) for k in range(0, lines.num_rows - n + 1, n)][:50]
                times = at_once(port, bodies, seconds)
                together.append(
                    {
                        "batch": n,
                        "connections": CONNECTIONS,
                        "requests": len(times),
                        "lines_per_s": round(n * len(times) / seconds),
                        "p50_ms": round(statistics.median(times) * 1e3, 1),
                        "p99_ms": round(float(np.quantile(times, 0.99)) * 1e3, 1),
                    }
                )
            memory = [round(p.memory_info().rss / (1 << 20)) for p in family(process)]
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "name": "service",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "rows": rows,
        "together": together,
        "memory_mb": round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "server_memory_mb": memory,
        "bytes_per_line": round(sum(map(len, lines["command_line"].to_pylist())) / lines.num_rows),
    }
    heads = ("HTTP ms", "in process", "over", "over CPU", "p99 ms", "lines/s", "in process")
    print("{:<18}{:>9}{:>12}{:>8}{:>10}{:>9}{:>10}{:>12}".format("one connection", *heads))
    for row in rows:
        print(
            f"{row['case']:<18}{row['ours_ms']:>9.2f}{row['peer_ms']:>12.2f}{row['over_ms']:>8.2f}"
            f"{row['over_cpu_ms']:>10.2f}{row['ours_p99_ms']:>9.1f}{row['ours']:>10,}{row['peer']:>12,}"
        )
    print(f"\n{f'{CONNECTIONS} connections':<18}{'p50 ms':>9}{'p99 ms':>9}{'lines/s':>10}{'requests':>10}")
    for row in together:
        name = f"batches of {row['batch']}"
        print(f"{name:<18}{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}{row['lines_per_s']:>10,}{row['requests']:>10,}")
    print(f"\nsupervisor {memory[0]} MB, worker {memory[-1]} MB, {result['bytes_per_line']} characters a line")
    print(result["machine"])
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
