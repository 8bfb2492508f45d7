"""The main job from Python: compare memories on real digits, with one of one's own, and keep table, picture and report.

python examples/compare_recall.py [PICTURE.png]
"""

import sys

from my_memory import SoftVote

import replica

if __name__ == "__main__":  # the workers import this file, too
    comparison = replica.compare("recall", entries={"soft-vote": SoftVote})
    print(comparison.table[["exact", "exact_low", "exact_high", "tied_with_best"]].round(3))
    print("Report:", comparison.report("replica-recall.html"))
    if len(sys.argv) > 1:
        comparison.figure().savefig(sys.argv[1], dpi=110)
