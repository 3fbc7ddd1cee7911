#pragma once

// A model server for tests: the test program itself, executed again with --fake-mode.

namespace noroshi::engine {

// Serves when --fake-mode is among the arguments, and does not return then; else returns at once.
//   healthy         /health 200, /v1/models lists "fake"
//   loading         /health 503 three times before that
//   exit_at_once    says why on stderr, status 2
//   exit_once       the same the first time (--fake-state FILE remembers), healthy from then on
//   never_ready     /health 503 for ever
//   crash           healthy for two answers, then abort
//   hang_once       healthy for two answers, then silent; healthy for ever the second time
//   no_sigterm      healthy, ignores SIGTERM
//   child           healthy, with a child of its own in its group, whose pid is put in --fake-state
void serve_if_asked(int argc, char** argv);

}  // namespace noroshi::engine
