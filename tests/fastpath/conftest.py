"""Without the compiled core only `test_built` is left, which says so."""

from repzone import fastpath

collect_ignore_glob = [] if fastpath.COMPILED else ["test_[!b]*.py"]
