#!/usr/bin/env bash
# torch 2.14.1, interpolate(mode="bicubic", antialias=True) of float pixels, beside Pillow 13.0.0's BICUBIC.
#
# Guess: antialiased, rounded and cut to 0 .. 255, it is Pillow's within a level, as bilinear is, so that a net which
#        was trained on Pillow's pictures can be given torch's.
# Seen:  on noise it is 4 levels off from 32 to 20 px, and 22 from 32 to 224 px: Pillow rounds and cuts to 0 .. 255 between
#        its two passes too, where the overshoot of the first one is lost. One axis after the other, rounded and cut
#        between, torch's differs by a level at most. Bilinear, which never overshoots, is within a level either way.
# Matters where a net of 224 px is given small images, as teachers and fine-tuned nets are with CIFAR-10.
# Installs torch with what it needs, some gigabytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'torch==2.14.1' 'pillow==13.0.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate


def resized(picture, steps, mode):
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    for size in steps:
        values = interpolate(values, size=size, mode=mode, antialias=True).round().clamp(0, 255)
    return values[0].permute(1, 2, 0).numpy().astype(int)


picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
apart = {}
for mode, filter_ in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
    for side in (20, 224):
        pillow = np.asarray(Image.fromarray(picture).resize((side, side), filter_)).astype(int)
        for way, steps in (("at once", [(side, side)]), ("by axis", [(32, side), (side, side)])):
            apart[mode, side, way] = int(abs(resized(picture, steps, mode) - pillow).max())
            print(f"{mode}, 32 to {side} px, {way}: {apart[mode, side, way]} levels apart at most")

larger, smaller = (apart.pop(("bicubic", side, "at once")) for side in (224, 20))
assert larger >= 15 and smaller >= 3, "bicubic at once is not far from Pillow's any more"
assert max(apart.values()) <= 1, apart
PYTHON
echo "as seen: bicubic at once is far from Pillow's, by axis it is not"
