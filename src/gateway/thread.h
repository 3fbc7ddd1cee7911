#pragma once

#include <functional>
#include <string>
#include <thread>

namespace noroshi::gateway {

// A thread that serves people, never the radio: SCHED_OTHER, the processors of the process's main
// thread, no signals, whatever the thread that starts it has. The name has at most 15 letters.
std::thread ordinary_thread(const std::string& name, std::function<void()> work);

}  // namespace noroshi::gateway
