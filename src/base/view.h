#pragma once

// A view carries its shape: a pointer and N extents, dense, last index fastest, passed by value.
// It owns nothing. The caller keeps the memory alive and of the stated size.

#include <array>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <type_traits>

// Indexing is checked in the debug and sanitizer builds only (NOROSHI_CHECK_BOUNDS); functions
// assert the shapes of their views at entry, in every build.
#ifdef NOROSHI_CHECK_BOUNDS
#define NOROSHI_ASSERT_BOUNDS(condition) assert(condition)
#else
#define NOROSHI_ASSERT_BOUNDS(condition) static_cast<void>(0)
#endif

namespace noroshi {

template <class T, int N>
class View {
  static_assert(N >= 1);

 public:
  using Extents = std::array<std::size_t, N>;

  constexpr View() = default;
  constexpr View(T* data, Extents extents) : data_(data), extents_(extents) {}

  template <class... I>
  requires(sizeof...(I) == N &&
           (std::is_convertible_v<I, std::size_t> && ...)) constexpr View(T* data, I... extents)
      : View(data, Extents{static_cast<std::size_t>(extents)...}) {}

  // Any contiguous container is a one-dimensional view of itself.
  template <class C>
  requires(N == 1 && !std::is_same_v<std::remove_cvref_t<C>, View> &&
           requires(C & c) {
             { c.data() } -> std::convertible_to<T*>;
             { c.size() } -> std::convertible_to<std::size_t>;
           }) constexpr View(C&& container)
      : View(container.data(), container.size()) {}

  // A writable view reads as a const one.
  constexpr operator View<const T, N>() const requires(!std::is_const_v<T>) {
    return {data_, extents_};
  }

  constexpr T* data() const { return data_; }
  constexpr T* begin() const { return data_; }
  constexpr T* end() const { return data_ + size(); }
  constexpr std::size_t extent(int dimension) const { return extents_[dimension]; }
  constexpr const Extents& extents() const { return extents_; }
  constexpr bool empty() const { return size() == 0; }

  constexpr std::size_t size() const {
    std::size_t count = 1;
    for (std::size_t e : extents_) count *= e;
    return count;
  }

  // One element (N == 1) or the sub-view at this first index.
  constexpr decltype(auto) operator[](std::size_t index) const {
    NOROSHI_ASSERT_BOUNDS(index < extents_[0]);
    if constexpr (N == 1) {
      return (data_[index]);
    } else {
      typename View<T, N - 1>::Extents rest{};
      std::size_t stride = 1;
      for (int d = 1; d < N; ++d) {
        rest[d - 1] = extents_[d];
        stride *= extents_[d];
      }
      return View<T, N - 1>(data_ + index * stride, rest);
    }
  }

  template <class... I>
  requires(sizeof...(I) == N) constexpr T& operator()(I... indices) const {
    const Extents at{static_cast<std::size_t>(indices)...};
    std::size_t offset = 0;
    for (int d = 0; d < N; ++d) {
      NOROSHI_ASSERT_BOUNDS(at[d] < extents_[d]);
      offset = offset * extents_[d] + at[d];
    }
    return data_[offset];
  }

  // Elements [first, first + count) along the first dimension.
  constexpr View subview(std::size_t first, std::size_t count) const {
    assert(first <= extents_[0] && count <= extents_[0] - first);
    std::size_t stride = 1;
    for (int d = 1; d < N; ++d) stride *= extents_[d];
    Extents part = extents_;
    part[0] = count;
    return View(data_ + first * stride, part);
  }

 private:
  T* data_ = nullptr;
  Extents extents_{};
};

}  // namespace noroshi
