#include "fleet/runner.h"

#include <chrono>

#include "gateway/thread.h"

namespace noroshi::fleet {

Runner::Runner(const std::string& name, double interval_s, std::function<void()> step)
    : thread_(gateway::ordinary_thread(name, [this, interval_s, step = std::move(step)] {
        std::unique_lock lock(mutex_);
        while (!stopping_) {
          lock.unlock();
          step();
          lock.lock();
          changed_.wait_for(lock, std::chrono::duration<double>(interval_s),
                            [this] { return stopping_; });
        }
      })) {}

Runner::~Runner() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

}  // namespace noroshi::fleet
