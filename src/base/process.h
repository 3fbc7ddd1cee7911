#pragma once

// What everybody needs who starts processes and watches them (engine/, fleet/nats_server.h).

#include <sys/types.h>

#include <initializer_list>

namespace noroshi {

// A loopback port that is free now; 0: none is.
int free_tcp_port();

// Waits at most so long; true when stop_fd became readable. Returns early when one of the others
// does. Files below 0 do not count.
bool wait_or_stop(double seconds, int stop_fd, std::initializer_list<int> others);

// Whether the child has ended; its status stays there to be collected.
bool has_ended(pid_t child);

// SIGTERM to the child's process group, then waits at most so long for the child's end.
void ask_to_end(pid_t child, double grace_s);

// A descriptor that is readable once the child has ended; below 0: this kernel has none.
int open_pid_fd(pid_t child);

}  // namespace noroshi
