"""Writes schemas/vectors/*.json again: `make vectors`; `DRAW=1` draws anew what cryptography draws itself."""

import argparse

from vectors import field, made_files, shape

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--draw", action="store_true", help="draw encapsulations and ML-DSA-44 signatures anew")
recorded = field.Recorded(draw=parser.parse_args().draw)
files = made_files.make(recorded)
for name, data in files.items():
    (shape.FOLDER / name).write_bytes(data)
recorded.save()
print(f"{sum(1 for _ in shape.read_all())} cases in {len(files)} files")
