"""Compare learners on a table of one's own, with a method of one's own, from Python.

python examples/compare_classifiers.py [PICTURE.png]
"""

import sys

import pandas as pd
from my_classifier import NearestMean
from sklearn.datasets import load_wine

import replica

if __name__ == "__main__":  # the workers import this file, too
    wines = load_wine(as_frame=True)
    table: pd.DataFrame = wines.data.assign(cultivar=wines.target_names[wines.target])
    table.loc[::10, "alcohol"] = None  # as in real tables, some cells are missing

    comparison = replica.compare(
        "classification",
        data=table,
        target="cultivar",
        entries={"nearest-mean": NearestMean},
        only=["majority", "logistic-regression"],  # leave this out to run every method
    )
    print(comparison.table[["accuracy", "accuracy_low", "accuracy_high", "log_loss", "tied_with_best"]].round(3))
    print("Report:", comparison.report("replica-classification.html"))
    if len(sys.argv) > 1:
        comparison.figure().savefig(sys.argv[1], dpi=110)
