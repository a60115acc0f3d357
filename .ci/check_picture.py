"""Checks a screenshot of the demo (a PNG): check_picture.py FILE [--more-red-than FILE] [--panel-differs-from FILE].

No part of it may be blank. Only the standard library is used.
"""

import argparse
import collections
import struct
import sys
import zlib


def read_png(path):
    """Width, height, and the rows as lists of (red, green, blue)."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    at, compressed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            compressed += body
        at += length + 12
    assert (depth, interlaced) == (8, 0) and colour in (2, 6), f"{path}: depth {depth}, colour type {colour}"
    size = 3 if colour == 2 else 4
    raw, stride = zlib.decompress(compressed), width * size
    above, rows = bytearray(stride), []
    for y in range(height):
        kind = raw[y * (stride + 1)]
        line = bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        unfilter(kind, line, above, size)
        rows.append(list(zip(line[0::size], line[1::size], line[2::size])))
        above = line
    return width, height, rows


def unfilter(kind, line, above, size):
    if kind == 0:
        return
    for i in range(len(line)):
        left = line[i - size] if i >= size else 0
        up = above[i]
        corner = above[i - size] if i >= size else 0
        if kind == 1:
            line[i] = line[i] + left & 255
        elif kind == 2:
            line[i] = line[i] + up & 255
        elif kind == 3:
            line[i] = line[i] + (left + up) // 2 & 255
        else:
            a, b, c = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            line[i] = line[i] + (left if a <= b and a <= c else up if b <= c else corner) & 255


# Where things are, in parts of the window: left, top, right, bottom.
REGIONS = {
    "frame graph": (0, 0.04, 0.1, 0.1),
    "bar above": (0.1, 0, 1, 0.1),
    "plain": (0, 0.12, 0.67, 0.9),
    "side panel": (0.67, 0.12, 1, 0.9),
    "bar below": (0, 0.91, 1, 1),
}


def region(picture, name):
    width, height, rows = picture
    left, top, right, bottom = REGIONS[name]
    columns = slice(int(left * width), int(right * width))
    return [pixel for row in rows[int(top * height) : int(bottom * height)] for pixel in row[columns]]


def red_share(picture):
    pixels = region(picture, "plain")
    return sum(r > 200 and g < 130 and b < 130 for r, g, b in pixels) / len(pixels)


parser = argparse.ArgumentParser()
parser.add_argument("picture")
parser.add_argument("--more-red-than")
parser.add_argument("--panel-differs-from")
arguments = parser.parse_args()
picture, problems = read_png(arguments.picture), []

for name in REGIONS:
    colours = collections.Counter(region(picture, name))
    most_common = colours.most_common(1)[0][1] / colours.total()
    print(f"{arguments.picture}: {name}: {len(colours)} colours, {most_common:.1%} of one")
    if len(colours) < 3 or most_common > 0.99:
        problems.append(f"{name} is blank")
if arguments.more_red_than:
    now, before = red_share(picture), red_share(read_png(arguments.more_red_than))
    if now < before + 0.01:
        problems.append(f"there are no runaways on the plain: {now:.3%} is red, and {before:.3%} without")
if arguments.panel_differs_from:
    now, before = (region(it, "side panel") for it in (picture, read_png(arguments.panel_differs_from)))
    changed = sum(a != b for a, b in zip(now, before)) / len(now)
    if changed < 0.02:
        problems.append(f"only {changed:.1%} of the side panel has changed")

for problem in problems:
    print(f"{arguments.picture}: {problem}", file=sys.stderr)
sys.exit(1 if problems else 0)
