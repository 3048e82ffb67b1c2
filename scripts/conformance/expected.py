#!/usr/bin/env python2
"""expected.py SPEC.json: the ids of the cases that wstest will run, so that a test that ends half way cannot pass."""
import json
import sys

from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet

spec = json.load(open(sys.argv[1]))
cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
print(json.dumps(cases.parseSpecCases(spec)))
