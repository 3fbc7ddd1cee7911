#pragma once

// A column of Z bits as bytes that rotate by moving. Z = n m, where n <= 8 is the largest power of
// two that divides Z (8 if 8 does); byte i of the sliced column holds
//
//   bit k of y(i) = x((i + m k) mod Z),   k < 8
//
// so y(i + m) is y(i) rotated right by one bit, and the column rotated by s begins at y(s). A sum
// of rotated columns is a sum of unaligned loads, with no shifts; m bytes of it say everything.
// Here are the indices that take a column into this form and back.

#include <cstdint>

namespace noroshi::fec {

struct LdpcSlices {
  // Into it: where in the column slice k = x(m k), x(m k + 1), ... begins.
  alignas(64) std::uint64_t slice_start[8] = {};
  // Back: eight bytes of y from a window's start hold eight consecutive bits of each slice. The
  // bytes of the windows that the packed column is made of (at most 16), and then the byte of the
  // column: window * 8 + slice.
  alignas(64) std::uint8_t window_bytes[2][64] = {};
  alignas(64) std::uint8_t column_bytes[64] = {};
  int slice_bits = 0;  // m
  int windows = 0;
  int sum_bytes = 0;  // bytes of a sum that the windows reach
  int copies = 0;     // of m bytes, that let every rotation give sum_bytes
};

// Precondition: ldpc_is_lifting_size(zc). For zc that are no multiple of 8 column_bytes has the
// eight bytes of a word, its least significant first.
const LdpcSlices& ldpc_slices(int zc);

}  // namespace noroshi::fec
