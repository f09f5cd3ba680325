"""Everything that a hostile visitor is known to try, against a running page on this machine."""
