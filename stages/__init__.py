"""The stages of dvc.yaml: one file a stage, run as `python -m stages.NAME`, and the layers below them."""

import os as _os
import sys as _sys

# What users have set for notebooks and figures of their own; GPyOpt imports matplotlib too. Each of these can
# end the import, or change the bytes of a figure. Processes that are started from here have the same.
_os.environ["MPLBACKEND"] = "Agg"
_os.environ["MATPLOTLIBRC"] = _os.devnull

_MOVED = ("export", "matrix", "predict", "scale", "share", "verify", "watch")

# `python -m stages.NAME` imports this package before it looks for NAME; `-m` then stands in for the path.
if _sys.argv[:1] == ["-m"]:
    for _name in _MOVED:
        if f"stages.{_name}" in (word.removeprefix("-m") for word in _sys.orig_argv):
            _sys.exit(f"error: stages.{_name} is commands.{_name} now: python -m commands.{_name}")
