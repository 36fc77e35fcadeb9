"""Runs the tests and writes a JUnit report: what any test runner of a real project does by itself."""

import sys
import time
import unittest
from pathlib import Path
from xml.sax.saxutils import quoteattr


class Result(unittest.TextTestResult):
    def __init__(self, *args):
        super().__init__(*args)
        self.cases = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.cases.append((test, None))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.cases.append((test, str(err[1])))

    def addError(self, test, err):
        super().addError(test, err)
        self.cases.append((test, str(err[1])))


began = time.time()
suite = unittest.defaultTestLoader.discover("tests")
result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
lines = ['<?xml version="1.0"?>', f'<testsuite name="slug" time="{time.time() - began:.3f}">']
for test, message in result.cases:
    name = quoteattr(test.id())
    lines.append(f"<testcase name={name}/>" if message is None else f"<testcase name={name}><failure message={quoteattr(message)}/></testcase>")
lines.append("</testsuite>")
Path("reports").mkdir(exist_ok=True)
Path("reports/junit.xml").write_text("\n".join(lines))
sys.exit(not result.wasSuccessful())
