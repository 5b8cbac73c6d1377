#!/usr/bin/env bash
# Pillow 13.0.0: what saving a picture as AVIF does to the Exif object that is given.
#
# Guess: nothing, as with PNG, JPEG, WebP and TIFF: one Exif object may be given to several calls.
# Seen:  the orientation is taken out of it (AVIF stores it elsewhere). Whatever is saved with the same object afterwards
#        lies on its side for every viewer, without an error.
# Matters for whatever writes one picture in several formats, or many pictures in a loop, as tools do that build data sets.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'pillow==13.0.0'

"$folder/venv/bin/python" - <<'PYTHON'
import io

from PIL import Image

ORIENTATION = 0x0112


def saved(kind: str, exif: Image.Exif) -> int | None:
    """The orientation of a picture that was saved with these data."""
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, kind, exif=exif)
    return Image.open(file).getexif().get(ORIENTATION)


seen = {}
for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    seen[kind] = (saved(kind, exif), exif.get(ORIENTATION), saved("PNG", exif))
    print(f"{kind}: orientation {seen[kind][0]} in the file, then {seen[kind][1]} in the object; a PNG after it has {seen[kind][2]}")

assert seen.pop("AVIF") == (6, None, None), "AVIF"
assert set(seen.values()) == {(6, 6, 6)}, seen
PYTHON
echo "as seen: AVIF alone takes the orientation out of the object"
