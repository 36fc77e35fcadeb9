"""Makes a title fit for an address."""

import re
import unicodedata


def slug(title: str) -> str:
    """Lower case, without accents, words joined by `-`: "Hello, Wörld!" gives "hello-world"."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


if __name__ == "__main__":
    import sys

    print(slug(" ".join(sys.argv[1:])))
