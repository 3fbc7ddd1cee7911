#pragma once

// Calls a step now and then on a thread of its own, until its end.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace noroshi::fleet {

class Runner {
 public:
  // name: of the thread, at most 15 letters.
  Runner(const std::string& name, double interval_s, std::function<void()> step);
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;  // under mutex_
  std::thread thread_;
};

}  // namespace noroshi::fleet
