#pragma once

// An expected failure travels as a value. The message says what was wrong, where, and what to do.

#include <cassert>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace noroshi {

struct Error {
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return (assert(ok()), std::get<0>(state_)); }
  const T& value() const& { return (assert(ok()), std::get<0>(state_)); }
  T&& value() && { return (assert(ok()), std::get<0>(std::move(state_))); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const { return (assert(!ok()), std::get<1>(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return (assert(!ok()), *error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace noroshi
