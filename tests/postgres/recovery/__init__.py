"""After a crash, a restore, a move or a clock that was set back: no job is lost and none is stuck."""
