#!/usr/bin/env python3
"""Error-rate curves: `noroshi bench bler_NAME --json` to CSV, CSV to SVG. Python's standard library only.

    scripts/plot_curves.py csv bench.json curves.csv
    scripts/plot_curves.py log bench.log curves.csv        (what sinr_at_bler says on standard error)
    scripts/plot_curves.py svg curves.csv curves.svg "Title"

A bench case "PANEL l8 ref snr-1.5" is the point -1.5 dB of the curve "l8 ref" in the panel "PANEL". CSV columns: panel,
curve, snr_db, bler, low, high (95 % confidence), runs. A curve whose name ends with "ref" is drawn dashed, in the colour
of the one without it.
"""

import csv
import html
import json
import math
import re
import sys

CASE = re.compile(r"^(?P<panel>.*?) (?P<curve>l\d+( ref)?|[^ ]+( ref)?) snr(?P<snr>-?[\d.]+)$")
COLOURS = ["#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#97bbf5", "#9c6b4e"]
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 460, 340, 58, 44, 14, 44


def to_csv(source: str, target: str) -> None:
    rows = []
    with open(source) as file:
        for result in json.load(file):
            match = CASE.match(result["case"])
            if result["unit"] == "bler" and match:
                rows.append([match["panel"], match["curve"], match["snr"], *(f"{result[k]:.5g}" for k in
                             ("value", "low", "high")), result["runs"]])
    with open(target, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "curve", "snr_db", "bler", "low", "high", "runs"])
        writer.writerows(rows)


LEVEL = re.compile(r"^(?P<name>.+): (?P<lost>[\d.]+) of (?P<runs>\d+) blocks lost at (?P<snr>-?[\d.]+) dB$")


def log_to_csv(source: str, target: str) -> None:
    """One panel an MCS, one curve a channel; 95 % confidence as of independent blocks (Wilson)."""
    rows = []
    with open(source) as file:
        for match in filter(None, map(LEVEL.match, file)):
            curve, mcs = match["name"].split(" mcs", 1)
            p, n, z = float(match["lost"]), int(match["runs"]), 1.96
            centre, scale = (p + z * z / (2 * n)), 1 + z * z / n
            half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
            rows.append([f"MCS {mcs}", curve, f"{float(match['snr']):.3f}", f"{p:.5g}",
                         f"{max(0, centre - half) / scale:.5g}", f"{(centre + half) / scale:.5g}", n])
    rows.sort(key=lambda row: (row[0], row[1], float(row[2])))
    with open(target, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "curve", "snr_db", "bler", "low", "high", "runs"])
        writer.writerows(rows)


def panel_svg(name: str, curves: dict, colours: dict) -> list:
    points = [p for curve in curves.values() for p in curve]
    x_min, x_max = min(p[0] for p in points), max(p[0] for p in points)
    lowest = min((p[1] for p in points if p[1] > 0), default=1e-3)
    decades = max(1, math.ceil(-math.log10(lowest)))
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x_of(snr):
        return LEFT + (snr - x_min) / max(x_max - x_min, 1e-9) * plot_width

    def y_of(rate):
        return TOP + min(-math.log10(max(rate, 1e-12)), decades) / decades * plot_height

    out = [f'<text x="{LEFT}" y="20" class="name">{html.escape(name)}</text>']
    for decade in range(decades + 1):
        y = y_of(10.0**-decade)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{plot_width}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{"1" if decade == 0 else f"1e-{decade}"}</text>')
    step = next(s for s in (1, 0.5, 0.2, 0.1) if (x_max - x_min) / s >= 3 or s == 0.1)
    for index in range(math.ceil(x_min / step - 1e-6), math.floor(x_max / step + 1e-6) + 1):
        tick = round(index * step, 6)
        out.append(f'<path class="grid" d="M{x_of(tick):.1f} {TOP}v{plot_height}"/>')
        out.append(f'<text x="{x_of(tick):.1f}" y="{TOP + plot_height + 16}" text-anchor="middle">{tick:g}</text>')
    out.append(f'<text x="{LEFT + plot_width / 2}" y="{HEIGHT - 8}" text-anchor="middle">SNR (dB)</text>')
    for index, (curve, values) in enumerate(curves.items()):
        colour = colours[curve.removesuffix(" ref")]
        dash = ' stroke-dasharray="5 4"' if curve.endswith("ref") else ""
        drawn = [p for p in sorted(values) if p[1] > 0]
        line = " ".join(f"{x_of(p[0]):.1f},{y_of(p[1]):.1f}" for p in drawn)
        out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6"{dash} points="{line}"/>')
        for snr, _, low, high in drawn:
            out.append(f'<path stroke="{colour}" d="M{x_of(snr):.1f} {y_of(low):.1f}V{y_of(high):.1f}"/>')
        y = TOP + plot_height - 12 - 15 * (len(curves) - 1 - index)
        out.append(f'<path stroke="{colour}" stroke-width="1.6"{dash} d="M{LEFT + 8} {y - 4}h24"/>')
        out.append(f'<text x="{LEFT + 38}" y="{y}">{html.escape(curve)}</text>')
    return out


def to_svg(source: str, target: str, title: str) -> None:
    panels: dict = {}
    with open(source) as file:
        for row in csv.DictReader(file):
            point = tuple(float(row[k]) for k in ("snr_db", "bler", "low", "high"))
            panels.setdefault(row["panel"], {}).setdefault(row["curve"], []).append(point)
    names = dict.fromkeys(c.removesuffix(" ref") for curves in panels.values() for c in curves)
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    columns = min(2, len(panels))
    width, height = columns * WIDTH, 30 + math.ceil(len(panels) / columns) * HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           "<style>.grid{stroke:#ddd}.name{font-size:13px;font-weight:bold}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="12" y="22" font-size="15">{html.escape(title)}</text>']
    for index, (name, curves) in enumerate(panels.items()):
        out.append(f'<g transform="translate({index % columns * WIDTH} {30 + index // columns * HEIGHT})">')
        out += panel_svg(name, curves, colours) + ["</g>"]
    with open(target, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "csv":
        to_csv(sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 4 and sys.argv[1] == "log":
        log_to_csv(sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 5 and sys.argv[1] == "svg":
        to_svg(sys.argv[2], sys.argv[3], sys.argv[4])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
