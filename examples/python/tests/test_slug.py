import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
from slug import slug  # noqa: E402


class SlugTest(unittest.TestCase):
    def test_words_are_joined(self):
        self.assertEqual(slug("Hello, Wörld!"), "hello-world")

    def test_nothing_stays_nothing(self):
        self.assertEqual(slug("?!"), "")


if __name__ == "__main__":
    unittest.main()
