#pragma once

// Single-producer, single-consumer queue of fixed capacity: wait-free, no allocation after
// construction. The only way that slot-path threads hand things to each other.

#include <atomic>
#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace noroshi {

template <class T>
class Ring {
 public:
  // capacity: a power of two.
  explicit Ring(std::size_t capacity) : items_(capacity), mask_(capacity - 1) {
    assert(capacity >= 2 && (capacity & mask_) == 0);
  }

  // The slot that the producer may fill in place, or nullptr when the ring is full; push_done()
  // hands it over.
  T* push_slot() {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == items_.size()) return nullptr;
    return &items_[head & mask_];
  }
  void push_done() {
    head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  // False when full: the caller counts it.
  [[nodiscard]] bool push(T item) {
    T* slot = push_slot();
    if (slot == nullptr) return false;
    *slot = std::move(item);
    push_done();
    return true;
  }

  // The oldest item, or nullptr when empty; pop() releases it.
  T* front() {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (head_.load(std::memory_order_acquire) == tail) return nullptr;
    return &items_[tail & mask_];
  }
  void pop() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  std::size_t capacity() const { return items_.size(); }

 private:
  std::vector<T> items_;
  std::size_t mask_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace noroshi
