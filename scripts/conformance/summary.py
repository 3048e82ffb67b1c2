#!/usr/bin/env python3
"""summary.py INDEX.json EXPECTED.json [CASE…]: what wstest reports, by part, with every case that is not strictly right.

Fails unless every expected case ran and none failed. NON-STRICT is a failure but for the named cases. UNIMPLEMENTED is a
case whose parameters were not agreed on; it is counted apart."""
import collections
import json
import sys

RIGHT = ("OK", "INFORMATIONAL")


def verdict(result, may_be_late):
    if result is None:
        return "failed", "did not run"
    behavior, close = result["behavior"], result["behaviorClose"]
    if behavior == "UNIMPLEMENTED":
        return "unimplemented", ""
    if behavior == "NON-STRICT" and close in RIGHT and may_be_late:
        return "non-strict", ""
    if behavior in RIGHT and close in RIGHT:
        return "informational" if "INFORMATIONAL" in (behavior, close) else "ok", ""
    return "failed", f"{behavior}, closing {close}, code {result.get('remoteCloseCode')}"


def main(index, expected, *may_be_late):
    cases = next(iter(json.load(open(index)).values()), {})
    wanted = set(json.load(open(expected)))
    parts = collections.defaultdict(collections.Counter)
    for case in sorted(wanted | set(cases), key=lambda name: [int(part) for part in name.split(".")]):
        outcome, why = verdict(cases.get(case), case in may_be_late)
        parts[case.split(".")[0]][outcome] += 1
        if outcome == "failed":
            print(f"FAILED {case}: {why}")
    total = sum(parts.values(), collections.Counter())
    for part, counts in [*parts.items(), ("all", total)]:
        print(f"{part:>4}.* " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    passed = total["ok"] + total["informational"] + total["non-strict"]
    print(f"{passed} passed, {total['failed']} failed, {total['unimplemented']} skipped")
    return 0 if wanted and not total["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
