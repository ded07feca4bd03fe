#!/usr/bin/env python3
"""Draws what bench_scaling measures: tokens per second against parameters, with the roofline, as docs/pictures/scaling.svg.

    bench/scaling_picture.py                              runs build/release/bench/bench_scaling, then draws
    bench/scaling_picture.py --from figures.json          draws what bench_scaling --json printed
Other options: --output FILE, --keep FILE (the figures). Standard library only.
"""
import argparse
import json
import math
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 520, 80, 230, 40, 60
COLOURS = ["#1b6ca8", "#c8553d", "#4a7c59", "#8d5a97"]
NAME = re.compile(r"(\S+) \((\d+) parameters\) (\d+x\d+) (\d+) threads?")


def curves_of(results):
    """(batch, threads) to points (parameters, tokens/s, roofline tokens/s), by parameters."""
    curves = {}
    for entry in results:
        match = NAME.fullmatch(entry["name"])
        if match is None:
            sys.exit(f"{entry['name']!r} is no line of bench_scaling")
        key = (match[3], int(match[4]))
        curves.setdefault(key, []).append((int(match[2]), entry["value"], entry["reference"]))
    return {key: sorted(points) for key, points in sorted(curves.items(), key=lambda item: (item[0][1], item[0][0]))}


def ticks(low, high):
    return [10 ** e for e in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def short(value):
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def picture(curves, title):
    points = [point for curve in curves.values() for point in curve]
    xs = [p[0] for p in points]
    ys = [value for p in points for value in p[1:]]
    low_x, high_x, low_y, high_y = min(xs) / 1.5, max(xs) * 1.5, min(ys) / 1.5, max(ys) * 1.5

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / low_x) / math.log(high_x / low_x)

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(value / low_y) / math.log(high_y / low_y)

    def line(values, colour, more):
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in values)
        return f'<polyline points="{path}" fill="none" stroke="{colour}" {more}/>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', f'<text x="{LEFT}" y="24" font-size="15">{title}</text>']
    for value in ticks(low_x, high_x):
        out.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#dddddd"/>'
                   f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(value)}</text>')
    for value in ticks(low_y, high_y):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dddddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 16}" text-anchor="middle">parameters</text>'
               f'<text x="20" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 20 {HEIGHT / 2})">tokens/s</text>')
    batches = sorted({key[0] for key in curves})
    for i, ((batch, threads), curve) in enumerate(curves.items()):
        colour = COLOURS[batches.index(batch) % len(COLOURS)]
        dash = "" if threads == max(key[1] for key in curves) else 'stroke-dasharray="7 4"'
        out.append(line([(p[0], p[2]) for p in curve], colour, 'stroke-width="1" stroke-opacity="0.45" stroke-dasharray="2 3"'))
        out.append(line([(p[0], p[1]) for p in curve], colour, f'stroke-width="2" {dash}'))
        out += [f'<circle cx="{x(p[0]):.1f}" cy="{y(p[1]):.1f}" r="3" fill="{colour}"/>' for p in curve]
        at = TOP + 14 + 20 * i
        out.append(f'<line x1="{WIDTH - RIGHT + 16}" x2="{WIDTH - RIGHT + 46}" y1="{at - 4}" y2="{at - 4}" stroke="{colour}" '
                   f'stroke-width="2" {dash}/><text x="{WIDTH - RIGHT + 54}" y="{at}">{batch} tokens, {threads} '
                   f'thread{"" if threads == 1 else "s"}</text>')
    at = TOP + 24 + 20 * len(curves)
    out.append(f'<text x="{WIDTH - RIGHT + 16}" y="{at}" fill="#666666">dotted: the roofline of each</text>')
    return "\n".join(out) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="figures", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--output", default=SOURCE / "docs/pictures/scaling.svg", type=pathlib.Path)
    options = parser.parse_args()
    if options.figures:
        text = options.figures.read_text()
    else:
        text = subprocess.run([SOURCE / "build/release/bench/bench_scaling", "--json"], capture_output=True, text=True,
                              check=True).stdout
    if options.keep:
        options.keep.write_text(text)
    options.output.write_text(picture(curves_of(json.loads(text)), "Training steps in bf16, optimizer and data included"))
    print(options.output)


if __name__ == "__main__":
    main()
