#!/usr/bin/env bash
# Pillow 13.0.0: the size of a picture that lies on its side, asked before its pixels are read.
#
# Guess: the size as stored, for all formats, while getexif() says how to turn it; so width and height are exchanged for
#        orientations 5 to 8 to know the size that is seen.
# Seen:  so it is for PNG, JPEG, WebP and AVIF. For TIFF the size is already that which is seen, and getexif() still says
#        that it is to be turned; only after load() the orientation is gone.
# Matters for checks of sizes from the header, as of limits, of thumbnails and of data sets of one size: for TIFF they turn
# the size twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'pillow==13.0.0'

"$folder/venv/bin/python" - <<'PYTHON'
import io

from PIL import Image

ORIENTATION = 0x0112
seen = {}
for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, kind, exif=exif)
    image = Image.open(file)
    before = (image.size, image.getexif().get(ORIENTATION))
    image.load()
    seen[kind] = (*before, image.size, image.getexif().get(ORIENTATION))
    print(f"{kind}: {before[0]} and orientation {before[1]}; after load() {seen[kind][2]} and {seen[kind][3]}")

assert seen.pop("TIFF") == ((20, 30), 6, (20, 30), None), "TIFF"
assert set(seen.values()) == {((30, 20), 6, (30, 20), 6)}, seen
PYTHON
echo "as seen: TIFF alone has its size turned before load()"
