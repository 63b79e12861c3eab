"""What the scripts that export networks have in common."""

import pathlib
import sys
import traceback


def export_every(names, export, suffix=""):
    """Export to the folder that is the first argument what the others name, or every one of names that is not there.

    export(name, path) writes one file. One that fails does not stop the others; the process then ends with 1.
    """
    directory = pathlib.Path(sys.argv[1])
    failed = False
    for name in sys.argv[2:] or names:
        path = directory / f"{name}{suffix}.onnx"
        if path.exists():
            continue
        try:
            export(name, path)
            print(f"{path.stem}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr, flush=True)
        except Exception:  # whatever the exporter raises
            traceback.print_exc()
            print(f"{path.stem}: not exported", file=sys.stderr, flush=True)
            failed = True
    sys.exit(failed)
