#!/usr/bin/env python3
"""Measures and draws tokens per second against model size, batch, sequence and threads beside the roofline, as docs/pictures/scaling.svg.

    bench/scaling_picture.py [--minutes N] [SIZE | BATCH ...]     runs build/release/bench/bench_scaling point by point, then draws
    bench/scaling_picture.py --draw [--threads N ...]             draws what was measured

Every point is kept as soon as it is measured (--figures, build/scaling.json), and the next call goes on with what is missing:
after --minutes no point is begun. A point beside which other programs took more than 5% of the processors (--busy) is tried again, three
times at most; where it was never quiet it is not drawn, and the next call tries it again. --seconds N: of rounds for each point. Standard library only.
"""
import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "bench/peers"))
import registry  # noqa: E402

TRIES = 3
NAME = re.compile(r"(\S+) \((\d+) parameters\) (\d+x\d+) (\d+) threads?(, no optimizer)?")
POINT = re.compile(r"(\S+) (\d+x\d+): (\d+) parameters, .*")


def points_of(bench, threads):
    """(size, batch, threads) in the order of bench_scaling, one number of threads after the other."""
    listed = subprocess.run([bench, "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [(*POINT.fullmatch(line).groups()[:2], count) for count in threads for line in listed]


def measured(bench, point, seconds, busy):
    """The point's line of bench_scaling, with the share of the processors that others took."""
    size, batch, threads = point
    command = [bench, "--json", "--threads", str(threads), "--seconds", str(seconds), size, batch]
    best = None
    for _ in range(TRIES):
        done, others = registry.watched(lambda: subprocess.run(command, capture_output=True, text=True, check=True))
        entry = {**json.loads(done.stdout)[0], "others": round(others, 4)}
        if best is None or others < best["others"]:
            best = entry
        if best["others"] <= busy or "skipped" in best:
            break
    return best


def key_of(point):
    return " ".join(map(str, point))


def is_good(entry, busy):
    return "value" in entry and entry["others"] <= busy


def measure_missing(options, bench, points):
    """Adds points to the figures until all are there or the time is over; how many are missing then."""
    end = time.monotonic() + 60 * options.minutes
    figures = json.loads(options.figures.read_text()) if options.figures.exists() else {}
    missing = [point for point in points if not is_good(figures.get(key_of(point), {}), options.busy)]
    while missing and time.monotonic() < end:
        point = missing.pop(0)
        entry = measured(bench, point, options.seconds, options.busy)
        figures[key_of(point)] = entry
        options.figures.parent.mkdir(parents=True, exist_ok=True)
        options.figures.write_text(json.dumps(figures, indent=1) + "\n")
        said = entry.get("skipped") or f"{entry['value']:.0f} tokens/s, {entry['ratio']:.0%} of the roofline"
        print(f"{key_of(point):<20} {said}; others took {entry['others']:.0%}", flush=True)
    return sum(not ("skipped" in entry or is_good(entry, options.busy))
               for entry in (figures.get(key_of(point), {}) for point in points))


def curves_of(figures, busy):
    """threads to batch to points (parameters, tokens/s, roofline tokens/s, whether the optimizer took part), by parameters."""
    panels = {}
    for entry in figures.values():
        if not is_good(entry, busy):
            continue
        match = NAME.fullmatch(entry["name"])
        if match is None:
            sys.exit(f"{entry['name']!r} is no line of bench_scaling")
        curve = panels.setdefault(int(match[4]), {}).setdefault(match[3], [])
        curve.append((int(match[2]), entry["value"], entry["reference"], match[5] is None))
    return {threads: {batch: sorted(panels[threads][batch]) for batch in sorted(panels[threads], key=tokens_of)}
            for threads in sorted(panels)}


def tokens_of(batch):
    sequences, sequence = map(int, batch.split("x"))
    return sequences * sequence, sequence


def short(value):
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


# Dark on light and light on dark, each on a ground of its own: a page's colour does not matter.
STYLE = """<style>
.ground{fill:#ffffff}.title,.label,.tick{fill:#1d1f24}.tick{font-size:12px}.title{font-size:15px;font-weight:600}.note{fill:#5a606b;font-size:12px}
.grid{stroke:#e2e4e9}.frame{stroke:#a9aeb8;fill:none}.hollow{fill:#ffffff}
.c0{stroke:#1b6ca8}.c1{stroke:#c2452d}.c2{stroke:#2f7d4f}.c3{stroke:#8d4fa0}
.f0{fill:#1b6ca8}.f1{fill:#c2452d}.f2{fill:#2f7d4f}.f3{fill:#8d4fa0}
@media (prefers-color-scheme:dark){
.ground{fill:#16181d}.title,.label,.tick{fill:#e8eaee}.note{fill:#a7adb8}.grid{stroke:#2c3038}.frame{stroke:#5c636f}.hollow{fill:#16181d}
.c0{stroke:#5fb0ec}.c1{stroke:#f0836c}.c2{stroke:#6cc795}.c3{stroke:#c994db}
.f0{fill:#5fb0ec}.f1{fill:#f0836c}.f2{fill:#6cc795}.f3{fill:#c994db}}
</style>"""
WIDTH, LEFT, GAP, PANEL, TOP, HIGH, LOW = 900, 74, 34, 372, 66, 330, 150


class Axis:
    """A scale from values to places in the picture."""

    def __init__(self, low, high, begin, end, logarithmic):
        self.map = math.log if logarithmic else float
        self.low, self.high, self.begin, self.end = self.map(low), self.map(high), begin, end

    def __call__(self, value):
        return self.begin + (self.end - self.begin) * (self.map(value) - self.low) / (self.high - self.low)


def text(x, y, words, kind="label", anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{more}>{words}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def path(points, kind, more):
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" class="{kind}" {more}/>'


def frame(x, y, sizes, values, name_value):
    """Grid, ticks and border of one panel."""
    left, right, bottom, top = x.begin, x.end, y.begin, y.end
    out = [line(x(size), top, x(size), bottom) for size in sizes]
    out += [line(left, y(value), right, y(value)) for value in values]
    if name_value:
        out += [text(left - 8, y(value) + 4, name_value(value), "tick", "end") for value in values]
    return out + [f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" class="frame"/>']


def picture(panels, machine):
    points = [point for curves in panels.values() for curve in curves.values() for point in curve]
    batches = sorted({batch for curves in panels.values() for batch in curves}, key=tokens_of)
    sizes = [10 ** e for e in range(6, 10)]
    rates = [10 ** e for e in range(0, 7) if min(p[1] for p in points) / 3 <= 10 ** e <= 1.3 * max(p[2] for p in points)]
    low, high = min(p[1] for p in points) / 1.6, max(p[2] for p in points) * 1.3
    share_top = TOP + HIGH + 46
    height = share_top + LOW + 96
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui,sans-serif" font-size="13" '
           'role="img" aria-label="Tokens per second of training steps against the number of parameters, with the roofline">', STYLE,
           f'<rect width="{WIDTH}" height="{height}" rx="6" class="ground"/>',
           text(LEFT, 26, "Training steps in bf16: tokens a second by size of the model", "title"),
           text(WIDTH - 24, 26, machine, "note", "end")]
    wide = PANEL if len(panels) > 1 else 2 * PANEL + GAP
    for i, (threads, curves) in enumerate(panels.items()):
        left = LEFT + i * (PANEL + GAP)
        x = Axis(7e5, 1.5e9, left, left + wide, True)
        y = Axis(low, high, TOP + HIGH, TOP, True)
        share = Axis(0, 1, share_top + LOW, share_top, False)
        out.append(text(left, TOP - 12, f"{threads} thread{'' if threads == 1 else 's'}", "label", "start", ' font-weight="600"'))
        out += frame(x, y, sizes, rates, None if i else short)
        out += frame(x, share, sizes, [0, 0.25, 0.5, 0.75, 1], None if i else lambda value: f"{value:.0%}")
        out += [text(x(size), share_top + LOW + 18, short(size), "tick", "middle") for size in sizes]
        for batch, curve in curves.items():
            colour = batches.index(batch) % 4
            out.append(path([(x(p[0]), y(p[2])) for p in curve], f"c{colour}", 'stroke-width="1.2" stroke-dasharray="2 3"'))
            for scale, values in ((y, [p[1] for p in curve]), (share, [p[1] / p[2] for p in curve])):
                places = [(x(p[0]), scale(value)) for p, value in zip(curve, values)]
                out.append(path(places, f"c{colour}", 'stroke-width="2"'))
                for place, p in zip(places, curve):
                    kind = f"f{colour}" if p[3] else f"hollow c{colour}"
                    out.append(f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="3.2" class="{kind}" stroke-width="1.6"/>')
    out.append(text(0, 0, "tokens/s", "label", "middle", f' transform="translate(18 {TOP + HIGH / 2}) rotate(-90)"'))
    out.append(text(0, 0, "of the roofline", "label", "middle", f' transform="translate(18 {share_top + LOW / 2}) rotate(-90)"'))
    out.append(text(LEFT + PANEL + GAP / 2, share_top + LOW + 38, "parameters", "label", "middle"))
    for i, batch in enumerate(batches):
        sequences, sequence = batch.split("x")
        at = LEFT + i * 150
        out.append(path([(at, height - 36), (at + 24, height - 36)], f"c{i % 4}", 'stroke-width="2"'))
        out.append(text(at + 30, height - 32, f"{sequences} x {int(sequence):,} tokens"))
    note = "dotted: the roofline"
    if not all(p[3] for p in points):
        note += "; hollow: forward and backward alone, as the optimizer's state does not fit into this machine"
    out.append(text(LEFT, height - 12, note, "note"))
    return "\n".join(out) + "\n</svg>\n"


def machine_name():
    model = next((entry.split(":", 1)[1].strip() for entry in open("/proc/cpuinfo") if entry.startswith("model name")), "")
    return f"measured on {model}" if model else ""


# Stands in for bench_scaling in the self-test: two sizes of which the larger does not fit, a line to `calls` for each run.
FAKE_BENCH = """#!/usr/bin/env python3
import json, pathlib, sys
if sys.argv[1:] == ["list"]:
    print("1M 1x256: 1000000 parameters, 1 GB")
    print("1B 1x256: 1000000000 parameters, 30 GB")
    print("1B 4x1024: 1000000000 parameters, 90 GB")
else:
    threads, size, batch = sys.argv[3], *sys.argv[6:]
    with open(pathlib.Path(__file__).with_name("calls"), "a") as calls:
        calls.write(f"{size} {batch} {threads}\\n")
    name = f"{size} ({1000000 if size == '1M' else 1000000000} parameters) {batch} {threads} thread{'' if threads == '1' else 's'}"
    print(json.dumps([{"name": name, "skipped": "does not fit"} if batch == "4x1024" else
                      {"name": name + (", no optimizer" if size == "1B" else ""), "value": 60, "reference": 100, "ratio": 0.6}]))
"""


def self_test():
    with tempfile.TemporaryDirectory(prefix="megalith-scaling-") as folder:
        folder = pathlib.Path(folder)
        bench, figures, drawn = folder / "bench/bench_scaling", folder / "figures.json", folder / "scaling.svg"
        bench.parent.mkdir()
        bench.write_text(FAKE_BENCH)
        bench.chmod(0o755)

        def run(*more):
            done = subprocess.run([sys.executable, "-B", __file__, "--build", folder, "--figures", figures, "--output", drawn, "--busy",
                                   "1", "--threads", "1", "2", *more], capture_output=True, text=True, check=True)
            log = bench.parent / "calls"
            calls = log.read_text().splitlines() if log.exists() else []
            log.unlink(missing_ok=True)
            return done.stdout, calls

        said, calls = run("--minutes", "0")
        assert calls == [] and "6 points are missing" in said, said
        said, calls = run("--", "1M")
        assert calls == ["1M 1x256 1", "1M 1x256 2"] and drawn.exists(), said
        said, calls = run()
        assert calls == ["1B 1x256 1", "1B 4x1024 1", "1B 1x256 2", "1B 4x1024 2"], "what is there is not measured again"
        circles = [node.get("class") for node in xml.etree.ElementTree.parse(drawn).iter("{http://www.w3.org/2000/svg}circle")]
        assert len(circles) == 8, circles  # two sizes, two numbers of threads, in tokens/s and as share
        assert sum(name.startswith("hollow") for name in circles) == 4, circles
    print("points are measured once and drawn")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SIZE | BATCH", help="as bench_scaling list names them; all where none is named")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--build", default=SOURCE / "build/release", type=pathlib.Path)
    parser.add_argument("--figures", default=SOURCE / "build/scaling.json", type=pathlib.Path)
    parser.add_argument("--busy", type=float, default=0.05, metavar="SHARE", help="of the processors that others may take")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--output", default=SOURCE / "docs/pictures/scaling.svg", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        self_test()
        return 0
    if not options.draw:
        bench = options.build / "bench/bench_scaling"
        points = points_of(bench, options.threads)
        names = set(options.names)
        unknown = names - {name for point in points for name in point[:2]}
        if unknown:
            parser.error(f"no size or batch: {', '.join(sorted(unknown))}; bench_scaling list names them")
        sizes, batches = names & {point[0] for point in points}, names & {point[1] for point in points}
        wanted = [point for point in points if (not sizes or point[0] in sizes) and (not batches or point[1] in batches)]
        missing = measure_missing(options, bench, wanted)
        if missing:
            print(f"{missing} points are missing: the same command goes on with them")
            return 0
    if not options.figures.exists():
        sys.exit(f"{options.figures} is not there: nothing was measured yet")
    panels = curves_of(json.loads(options.figures.read_text()), options.busy)
    panels = {threads: curves for threads, curves in panels.items() if threads in options.threads}
    if not panels:
        sys.exit(f"{options.figures} has no point that ran")
    options.output.write_text(picture(panels, machine_name()))
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
