// Columns into the form of ldpc_slices.h, rotated there, and back, with AVX-512 VBMI and GFNI.

#if defined(NOROSHI_FEC_LDPC_SLICES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_LDPC_SLICES_INL_H_
#undef NOROSHI_FEC_LDPC_SLICES_INL_H_
#else
#define NOROSHI_FEC_LDPC_SLICES_INL_H_
#endif

#include <array>
#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>
#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_slices.h"

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",gfni")
namespace noroshi::fec {
namespace HWY_NAMESPACE {
namespace sliced {

// Matrices of GF2P8AFFINEQB: row j of the product is byte 7 - j.
constexpr long long byte_t_top_down = 0x0102040810204080;   // byte t = 0x80 >> t
constexpr long long byte_t_bottom_up = 0x8040201008040201;  // byte t = 1 << t

// Bytes rotated right by q: bit j = bit (j + q) mod 8.
constexpr long long rotation(int q) {
  std::uint64_t matrix = 0;
  for (int j = 0; j < 8; ++j) matrix |= std::uint64_t{1} << (8 * (7 - j) + (j + q) % 8);
  return static_cast<long long>(matrix);
}
alignas(64) constexpr long long rotations[16] = {
    rotation(0), rotation(1), rotation(2), rotation(3), rotation(4), rotation(5),
    rotation(6), rotation(7), rotation(0), rotation(1), rotation(2), rotation(3),
    rotation(4), rotation(5), rotation(6), rotation(7)};

HWY_INLINE __m512i rotated(__m512i bytes, long long matrix) {
  __m512i matrices = _mm512_set1_epi64(matrix);
#if defined(__clang__)
  // clang 14 encodes a small offset of this instruction's broadcast operand wrongly (rotations[q +
  // 1] reads rotations[q + 8]): the operand comes from a register.
  __asm__("" : "+v"(matrices));
#endif
  return _mm512_gf2p8affine_epi64_epi8(bytes, matrices, 0);
}

alignas(64) constexpr std::array<std::uint8_t, 64> ascending = [] {
  std::array<std::uint8_t, 64> list{};
  for (std::size_t i = 0; i < 64; ++i) list[i] = static_cast<std::uint8_t>(i);
  return list;
}();
// Where byte i of a vector comes from when it is moved up by `bytes`.
HWY_INLINE __m512i moved_up(std::size_t bytes) {
  return _mm512_sub_epi8(_mm512_load_si512(ascending.data()),
                         _mm512_set1_epi8(static_cast<char>(bytes)));
}

HWY_INLINE __mmask64 first_bytes(std::size_t count) {
  return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

// Packed bits -> sliced columns.
struct Slicer {
  const std::uint8_t* bits;
  std::size_t bytes;
  __m512i start;
  __m512i order;  // of 64 bytes: lane k = the slice's word, its first bits uppermost
  __m512i shift;
  __m512i across;  // 8 x 8 bytes transposed: lane c, byte 7 - k = bits 8 c ... of slice k
  std::size_t offset = 0;

  HWY_INLINE void aim(std::size_t bit_offset) {
    offset = bit_offset;
    const __m512i at =
        _mm512_add_epi64(start, _mm512_set1_epi64(static_cast<long long>(bit_offset)));
    shift = _mm512_and_si512(at, _mm512_set1_epi64(7));
    const __m512i first =
        _mm512_mullo_epi64(_mm512_srli_epi64(at, 3), _mm512_set1_epi64(0x0101010101010101));
    order = _mm512_add_epi8(first, _mm512_set1_epi64(0x0001020304050607));
  }

  HWY_INLINE Slicer(const LdpcSlices& slices, const std::uint8_t* packed, std::size_t packed_bytes)
      : bits(packed), bytes(packed_bytes), start(_mm512_load_si512(slices.slice_start)) {
    alignas(64) static constexpr std::array<std::uint8_t, 64> table = [] {
      std::array<std::uint8_t, 64> list{};
      for (std::size_t i = 0; i < 64; ++i) {
        list[i] = static_cast<std::uint8_t>(8 * (7 - i % 8) + 7 - i / 8);
      }
      return list;
    }();
    across = _mm512_load_si512(table.data());
    aim(0);
  }

  HWY_INLINE __m512i column(std::size_t first_bit) {
    const std::size_t at = first_bit >> 3;
    if (const std::size_t odd = first_bit & 7; odd != offset) aim(odd);
    const __m512i x = _mm512_maskz_loadu_epi8(first_bytes(bytes - at), bits + at);
    const __m512i words = _mm512_sllv_epi64(_mm512_permutexvar_epi8(order, x), shift);
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64(byte_t_top_down),
                                         _mm512_permutexvar_epi8(across, words), 0);
  }
};

// Sliced sums -> packed columns.
struct Packer {
  __m512i windows0;
  __m512i windows1;
  __m512i order;
  bool two;

  HWY_INLINE explicit Packer(const LdpcSlices& slices)
      : windows0(_mm512_load_si512(slices.window_bytes[0])),
        windows1(_mm512_load_si512(slices.window_bytes[1])),
        order(_mm512_load_si512(slices.column_bytes)),
        two(slices.windows > 8) {}

  static HWY_INLINE __m512i transposed(__m512i windows) {
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64(byte_t_bottom_up), windows, 0);
  }
  HWY_INLINE __m512i packed(__m512i sum) const {
    const __m512i low = transposed(_mm512_permutexvar_epi8(windows0, sum));
    if (!two) return _mm512_permutexvar_epi8(order, low);
    const __m512i high = transposed(_mm512_permutexvar_epi8(windows1, sum));
    return _mm512_permutex2var_epi8(low, order, high);
  }
};

// Writes y(0), y(1), ... from the slice's m bytes: as many copies, each rotated by one bit against
// the last, as one store holds.
struct Spreader {
  std::size_t slice;
  __m512i move1;
  __m512i move2;
  __m512i move4;
  __mmask64 behind1;
  __mmask64 behind2;
  __mmask64 behind4;

  HWY_INLINE explicit Spreader(std::size_t the_slice)
      : slice(the_slice),
        move1(moved_up(slice)),
        move2(moved_up(2 * slice)),
        move4(moved_up(4 * slice)),
        behind1(~first_bytes(slice)),
        behind2(~first_bytes(2 * slice)),
        behind4(~first_bytes(4 * slice)) {}

  // The lowest bytes of v, and behind them v rotated by q.
  static HWY_INLINE __m512i twice(__m512i v, int q, __m512i move, __mmask64 behind) {
    return _mm512_mask_permutexvar_epi8(v, behind, move, rotated(v, rotation(q)));
  }

  template <int width>
  HWY_INLINE void spread(__m512i v, std::uint8_t* to) const {
    if constexpr (width == 64) {
      if (slice == 48) return spread_aligned<48>(v, to);
      if (slice == 40) return spread_aligned<40>(v, to);
      for (int i = 0; i < 10; ++i, v = rotated(v, rotation(1))) {
        _mm512_storeu_si512(to + i * slice, v);
      }
      return;
    }
    v = twice(v, 1, move1, behind1);
    if (slice > 16) {
      for (int i = 0; i < 5; ++i, v = rotated(v, rotation(2))) {
        _mm512_storeu_si512(to + 2 * i * slice, v);
      }
      return;
    }
    v = twice(v, 2, move2, behind2);
    if (slice > 8) {
      for (int i = 0; i < 3; ++i, v = rotated(v, rotation(4))) {
        _mm512_storeu_si512(to + 4 * i * slice, v);
      }
      return;
    }
    v = twice(v, 4, move4, behind4);
    _mm512_storeu_si512(to, v);
    _mm512_storeu_si512(to + 8 * slice, v);
  }

  // m a multiple of 8: eight bytes of y are rotated alike.
  template <int m>
  static HWY_INLINE void spread_aligned(__m512i v, std::uint8_t* to) {
    constexpr int blocks = (9 * m + 63) / 64;
    struct Block {
      alignas(64) std::uint8_t byte[64];
      alignas(64) long long matrix[8];
    };
    alignas(64) static constexpr std::array<Block, blocks> table = [] {
      std::array<Block, blocks> list{};
      for (int i = 0; i < 64 * blocks; ++i) {
        list[i / 64].byte[i % 64] = static_cast<std::uint8_t>(i % m);
        list[i / 64].matrix[i % 64 / 8] = rotation(i / m);
      }
      return list;
    }();
    NOROSHI_UNROLL
    for (int i = 0; i < blocks; ++i) {
      const __m512i moved = _mm512_permutexvar_epi8(_mm512_load_si512(table[i].byte), v);
      _mm512_store_si512(
          to + 64 * i, _mm512_gf2p8affine_epi64_epi8(moved, _mm512_load_si512(table[i].matrix), 0));
    }
  }

  // The first m bytes of the column rotated by s.
  HWY_INLINE __m512i column_rotated(__m512i v, std::size_t s) const {
    const std::size_t q = s / slice;
    const std::size_t r = s % slice;
    const __m512i from = moved_up(64 - r);  // down by r
    return _mm512_mask_permutexvar_epi8(
        _mm512_permutexvar_epi8(from, rotated(v, rotations[q])), ~first_bytes(slice - r),
        _mm512_sub_epi8(from, _mm512_set1_epi8(static_cast<char>(slice))),
        rotated(v, rotations[q + 1]));
  }
};

}  // namespace sliced
}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // AVX3_DL
#endif  // per-target include guard
