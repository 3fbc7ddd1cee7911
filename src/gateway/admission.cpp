#include "gateway/admission.h"

#include <algorithm>
#include <cmath>

namespace noroshi::gateway {
namespace {
constexpr double service_weight = 0.1;
constexpr int retry_after_max_s = 60;
}  // namespace

Priority priority_of(std::string_view service_tier) {
  if (service_tier == "flex") return Priority::sheddable;
  if (service_tier == "priority") return Priority::critical;
  return Priority::standard;
}

int Admission::open_places() const {
  if (places_ <= 0) return INT32_MAX;
  return std::max(1, static_cast<int>(std::lround(places_ * std::clamp(share_, 0.0, 1.0))));
}

double Admission::wait_s(std::size_t before) const {
  return static_cast<double>(before + 1) / open_places() * service_s_;
}

// From the end, where the lowest and newest are.
void Admission::shed_late(std::list<Message>& messages) {
  while (!queue_.empty()) {
    const double wait = wait_s(queue_.size() - 1);
    if (wait <= wait_max_s_ && static_cast<int>(queue_.size()) <= waiting_max_) return;
    const int retry_s =
        std::clamp(static_cast<int>(std::ceil(wait - wait_max_s_)), 1, retry_after_max_s);
    messages.push_back({std::move(queue_.back().told), Verdict::refused, retry_s});
    queue_.pop_back();
    ++shed_;
  }
}

void Admission::admit_next(std::list<Message>& messages) {
  while (!queue_.empty() && at_engine_ < open_places()) {
    ++at_engine_;
    messages.push_back({std::move(queue_.front().told), Verdict::admitted, 0});
    queue_.pop_front();
  }
}

Admission::Ticket Admission::enter(Priority priority, int places, double share, Told told) {
  std::list<Message> messages;
  Ticket ticket;
  {
    const std::lock_guard lock(mutex_);
    places_ = places;
    share_ = share;
    admit_next(messages);
    if (queue_.empty() && at_engine_ < open_places()) {
      ++at_engine_;
    } else {
      const auto behind = std::ranges::find_if(
          queue_, [priority](const Waiter& waiter) { return waiter.priority < priority; });
      const auto before = static_cast<std::size_t>(std::distance(queue_.begin(), behind));
      const double wait = wait_s(before);
      if (wait > wait_max_s_ || static_cast<int>(before) >= waiting_max_) {
        ticket = {
            Verdict::refused, 0,
            std::clamp(static_cast<int>(std::ceil(wait - wait_max_s_)), 1, retry_after_max_s)};
      } else {
        ticket = {Verdict::waits, next_number_++, 0};
        queue_.insert(behind, {ticket.number, priority, std::move(told)});
        shed_late(messages);
      }
    }
  }
  for (Message& message : messages) message.told(message.verdict, message.retry_after_s);
  return ticket;
}

bool Admission::leave(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(queue_, number, &Waiter::number);
  if (found == queue_.end()) return false;
  queue_.erase(found);
  return true;
}

void Admission::done(double service_s) {
  std::list<Message> messages;
  {
    const std::lock_guard lock(mutex_);
    --at_engine_;
    service_s_ += service_weight * (service_s - service_s_);
    admit_next(messages);
  }
  for (Message& message : messages) message.told(message.verdict, message.retry_after_s);
}

void Admission::close() {
  const std::lock_guard lock(mutex_);
  queue_.clear();
}

int Admission::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(queue_.size());
}

int Admission::at_engine() const {
  const std::lock_guard lock(mutex_);
  return at_engine_;
}

std::uint64_t Admission::shed() const {
  const std::lock_guard lock(mutex_);
  return shed_;
}

}  // namespace noroshi::gateway
