#pragma once

// Waiting for what somebody outside the gateway tells: from any thread, perhaps never, perhaps
// after the gateway is gone. Inside the gateway room only.

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "gateway/session.h"

namespace noroshi::gateway {

// start is given the function to tell by, and is called once, before this waits. Nothing after
// timeout_s; what is told later is dropped.
template <class T>
net::awaitable<std::optional<T>> wait_told(Session& client, double timeout_s,
                                           std::function<void(std::function<void(T)> tell)> start) {
  struct Wait {
    net::steady_timer* timer = nullptr;  // while somebody waits
    std::optional<T> told = {};
  };
  const net::any_io_executor executor = client.stream.get_executor();
  net::steady_timer timer(executor, seconds_ns(timeout_s));
  const auto wait = std::make_shared<Wait>(Wait{&timer});
  const struct Leave {
    Wait& wait;
    ~Leave() { wait.timer = nullptr; }
  } leave{*wait};
  start([wait, executor, gate = client.shared.gate](T value) {
    const std::lock_guard lock(gate->mutex);
    if (!gate->open) return;
    net::post(executor, [wait, value = std::move(value)]() mutable {
      wait->told = std::move(value);
      if (wait->timer != nullptr) wait->timer->cancel();
    });
  });
  ErrorCode ignored;
  if (!wait->told) co_await timer.async_wait(into(ignored));
  co_return std::move(wait->told);
}

}  // namespace noroshi::gateway
