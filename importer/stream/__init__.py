"""The path's own parts: the pipe and the stages that know neither source, format nor target."""
