#pragma once

// What the cpu:: decoder keeps between calls. Only ldpc_decode_cpu.cpp fills it.

#include <cstdint>

#include "fec/ldpc/ldpc_graph.h"

namespace noroshi::fec {

struct LdpcWorkspace::State {
  static constexpr int vector_bytes_max = 64;
  static constexpr int vectors_max = ldpc_lifting_size_max / 16;  // a column, of the narrowest
  static constexpr int column_bytes = ldpc_lifting_size_max + vector_bytes_max;

  // The code that the plan below is for.
  int base_graph = 0;
  int zc = 0;
  int rows = 0;
  int vector_bytes = 0;
  bool narrow = false;  // a column is one vector, not repeated, in one bank; offsets are rotations
  LdpcSchedule schedule{};

  // Offsets in bytes into `posterior`, for even and odd iterations; a column's bank alternates with
  // every row that visits it. Extension edges are not in the plan.
  std::uint8_t degree[ldpc_rows_max];
  std::uint16_t rotation[ldpc_core_columns_max];   // of a stored column between two iterations
  std::uint8_t visits_odd[ldpc_core_columns_max];  // 1: even and odd iterations end in other banks
  std::uint16_t write_offset[2][ldpc_edges_max];   // [edge]: the column's other bank
  std::uint16_t read_offset[2][ldpc_edges_max * vectors_max];  // in the order of reading
  // After even and odd iterations, in the same order: where the parities find what they add.
  std::uint16_t parity_offset[2][ldpc_edges_max * vectors_max];

  alignas(64) std::int8_t periodic[3 * vector_bytes_max];  // i mod zc, where narrow
  // -1 in the lanes of a column's last vector that are none of its bits.
  alignas(64) std::int8_t outside[vector_bytes_max];

  // A stored column: bit (l + rotation) mod zc at byte l, then its first vector once more.
  alignas(64) std::int8_t posterior[2 * ldpc_core_columns_max * column_bytes];  // [column, bank]
  alignas(64) std::int8_t message[ldpc_edges_max * ldpc_lifting_size_max];  // in order of reading
  alignas(64) std::int8_t extension_llr[ldpc_rows_max * ldpc_lifting_size_max];
  alignas(64) std::int8_t extension_posterior[ldpc_rows_max * ldpc_lifting_size_max];
  // Where columns are narrow or no whole bytes of packed bits, [column, zc]: bits in their own
  // order, on their way in or out, and a vector's overrun.
  alignas(64) std::int8_t natural[ldpc_core_columns_max * ldpc_lifting_size_max + vector_bytes_max];
  alignas(64) std::uint8_t packed[ldpc_information_bits_max / 8 + vector_bytes_max];
};

}  // namespace noroshi::fec
