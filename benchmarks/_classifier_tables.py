"""The tables of benchmarks/classifiers.py as text, and its result in the form that all benchmarks share."""

from __future__ import annotations

from _classifier_metrics import NAMES, PLATFORMS

__all__ = ["house_rows", "tables"]

AUC, AT_2, AT_3, AT_4, AT_90 = NAMES
#: The issue that asks for a figure names it on rows that verdicts confirm.
TARGETS = {("agreed", AUC): 0.96, ("agreed", AT_2): 0.60, ("agreed", AT_3): 0.35, ("agreed, hard", AUC): 0.92}

Table = tuple[str, list[str], list[list[str]]]


def _shown(figure: dict | None, name: str, interval: bool = False) -> str:
    value = None if figure is None else figure[name]
    if value is None:
        return "-"
    return f"{value[0]:.3f}" + (f" ({value[1]:.3f}-{value[2]:.3f})" if interval else "")


def tables(found: dict[str, dict], ours: str) -> list[Table]:
    """(title, head, rows) of every table.

    Args:
        found: for each model `measured`, `alerts`, `robust` (where measured) and `sources`.
        ours: the model whose sources are shown.
    """
    out = [_ranking(found, kind) for kind in ("agreed", "all")]
    out += [_platforms(found), _far(found), _alerts(found), *_robust(found), _sources(found[ours]["sources"], ours)]
    return [table for table in out if table[2]]


def _ranking(found: dict[str, dict], kind: str) -> Table:
    rows = []
    for model, of in found.items():
        plain, hard = of["measured"].get(kind), of["measured"].get(f"{kind}, hard")
        rows.append([model, _shown(plain, AUC, True), _shown(plain, AT_2, True), _shown(plain, AT_3, True),
                     _shown(plain, AT_90, True), _shown(hard, AUC, True), _shown(hard, AT_2, True)])  # fmt: skip
    some = next(iter(found.values()))["measured"]
    sizes = "; ".join(f"{some[n]['n_malicious']:,} malicious and {some[n]['n_benign']:,} benign lines"
                      f"{' (hard)' if 'hard' in n else ''}" for n in (kind, f"{kind}, hard") if n in some)  # fmt: skip
    what = "rows whose label a verdict confirms" if kind == "agreed" else "all rows, labels by rule"
    head = ["model", AUC, "TPR at 1e-2", "TPR at 1e-3", AT_90, f"hard: {AUC}", "hard: TPR at 1e-2"]
    return f"{what}: {sizes}", head, rows


def _far(found: dict[str, dict]) -> Table:
    rows = [[model, *(_shown(of["far"], name, True) for name in (AUC, AT_2, AT_3, AT_4))]
            for model, of in found.items() if "far" in of]  # fmt: skip
    some = next((of["far"] for of in found.values() if "far" in of), {"n_malicious": 0, "n_benign": 0})
    title = (
        f"recorded benign lines beside the pools', rows that verdicts confirm: {some['n_malicious']:,} malicious and "
        f"{some['n_benign']:,} benign lines, of which those of telemetry_linux are each scored by one fold's model"
    )
    return title, ["model", AUC, "TPR at 1e-2", "TPR at 1e-3", "TPR at 1e-4"], rows


def _platforms(found: dict[str, dict]) -> Table:
    rows = []
    for model, of in found.items():
        row = [model]
        for platform in PLATFORMS:
            plain, hard = (of["measured"].get(f"agreed, {h}{platform}") for h in ("", "hard, "))
            row += [f"{_shown(plain, AUC, True)} {_shown(plain, AT_2)} {_shown(plain, AT_3)}", _shown(hard, AUC)]
        rows.append(row)
    head = ["model"]
    for platform in PLATFORMS:
        head += [f"{platform}: AUC, TPR 1e-2, 1e-3", "hard AUC"]
    return "by platform, rows that verdicts confirm, thresholds of the platform's own benign lines", head, rows


def _alerts(found: dict[str, dict]) -> Table:
    names = list(dict.fromkeys(n for of in found.values() for n in of["alerts"]))
    rows = []
    for model, of in found.items():
        cells = []
        for name in names:
            got = of["alerts"].get(name)
            cells.append(
                "-" if got is None else f"{got['per_100k']:,.1f} ({got['range'][0]:,.1f}-{got['range'][1]:,.1f})"
            )
        rows.append([model, *cells])
    some = next((of["alerts"] for of in found.values() if of["alerts"]), {})
    about = "; ".join(
        f"{n}: {a['events']:,} events, {a['distinct']:,} distinct lines, {a['counted']}" for n, a in some.items()
    )
    title = f"alerts per 100,000 events where 1e-3 of the pools' benign lines alert (lowest and highest fold). {about}"
    return title, ["model", *names], rows if names else []


def _robust(found: dict[str, dict]) -> list[Table]:
    measured = {model: of["robust"] for model, of in found.items() if "robust" in of}
    if not measured:
        return []
    some = next(iter(measured.values()))
    mean = []
    for model, of in measured.items():
        for case, m in of["mean"].items():
            low, high = (100 * v for v in m["drop"][1:])
            mean.append([
                model, case, f"{m['ways']}", f"{m['n']:,}", f"{m['before']:.3f} {m['after']:.3f}",
                f"{100 * m['drop'][0]:.1f} ({low:.1f} to {high:.1f})", f"{100 * m['loss']:.1f}", f"{m['ways_over_5']}",
                _pair(m["alerts_before"], m["alerts_after"]), _pair(m["auc_before"], m["auc_after"]),
            ])  # fmt: skip
    head = ["model", "ways, platform", "ways", "lines", "TPR before, after", "points lost", "gains as 0",
            "ways that lose > 5", "benign alerts before, after", "AUC before, after"]  # fmt: skip
    ways = []
    for i, way in enumerate(some["ways"]):
        if way["n"] < 5:
            continue
        row = [way["platform"], way["kind"], way["way"], str(way["n"])]
        for of in measured.values():
            w = of["ways"][i]
            row.append(f"{w['before']:.2f} {w['after']:.2f} {100 * w['drop']:+.0f}")
        ways.append(row)
    title = "malicious lines written otherwise, threshold where 1e-2 of the benign lines as they are alert"
    by_way = ["platform", "kind", "way", "lines", *(f"{m}: before, after, points lost" for m in measured)]
    return [(f"{title}, mean over ways", head, mean), (f"{title}, by way", by_way, ways)]


def _pair(before: float | None, after: float | None) -> str:
    return " ".join("-" if value is None else f"{value:.3f}" for value in (before, after))


def _sources(sources: dict[str, dict], ours: str) -> Table:
    rows = []
    for name, of in sorted(
        sources.items(), key=lambda item: (item[0].split(":")[0] != "malicious", item[1]["rate"][0])
    ):
        rate = f"{of['rate'][0]:.3f} ({of['rate'][1]:.3f}-{of['rate'][2]:.3f})"
        platforms = ", ".join(f"{p} {n:,}" for p, n in of["platforms"].items())
        rows.append([name, f"{of['n']:,}", platforms, rate, f"{of['auc']:.3f}"])
    benign = [row for row in rows if row[0].startswith("benign")]
    # Most benign sources never alert: the noisiest ones tell.
    rows = [row for row in rows if not row[0].startswith("benign")] + benign[-10:][::-1]
    title = f"{ours}: share of a source's lines that alert where 1e-2 of all benign lines do (ten noisiest benign ones)"
    return title, ["source", "lines", "platforms", "alerts", "AUC against all others"], rows


def house_rows(found: dict[str, dict], ours: str) -> list[dict]:
    """Our model against each other one, case by case."""
    rows = []
    for case, figure in found[ours]["measured"].items():
        for name in NAMES:
            value = figure[name]
            if value is None:
                continue
            for peer, of in found.items():
                other = (of["measured"].get(case) or {}).get(name)
                if peer == ours or other is None:
                    continue
                row = {"case": case, "ours": value[0], "peer": other[0], "peer_name": peer,
                       "ratio": round(value[0] / other[0], 3) if other[0] else None, "unit": name,
                       "n": figure["n_benign"] + figure["n_malicious"], "ours_ci95": value[1:],
                       "peer_ci95": other[1:]}  # fmt: skip
                if (target := TARGETS.get((case, name))) is not None:
                    row |= {"target": target, "reached": value[0] >= target}
                rows.append(row)
    return rows
