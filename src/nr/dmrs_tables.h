#pragma once

// DM-RS symbols after the first, l_0: bit l for symbol l of the tables; bit 15 says that the
// combination exists. Rows: l_d; columns: dmrs-AdditionalPosition.
//
// For mapping type A the two links differ only at l_d = 3, which exists for PDSCH alone: a PUSCH
// of mapping type A has at least 4 symbols (TS 38.214 table 6.1.2.1-1).

#include <cstdint>

namespace noroshi::nr::dmrs_tables {

inline constexpr std::uint16_t defined = 0x8000;
template <class... Symbols>
constexpr std::uint16_t at(Symbols... l) {
  return static_cast<std::uint16_t>((defined | ... | (1u << l)));
}
inline constexpr std::uint16_t none = 0;

// TS 38.211 tables 6.4.1.1.3-3 (PUSCH) and 7.4.1.1.2-3 (PDSCH).
inline constexpr std::uint16_t a_single[15][4] = {
    {none, none, none, none},
    {none, none, none, none},
    {none, none, none, none},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(7), at(7), at(7)},
    {at(), at(7), at(7), at(7)},
    {at(), at(9), at(6, 9), at(6, 9)},
    {at(), at(9), at(6, 9), at(6, 9)},
    {at(), at(9), at(6, 9), at(5, 8, 11)},
    {at(), at(11), at(7, 11), at(5, 8, 11)},
    {at(), at(11), at(7, 11), at(5, 8, 11)},
};
inline constexpr std::uint16_t b_single_pdsch[15][4] = {
    {none, none, none, none},
    {none, none, none, none},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(4), at(4), at(4)},
    {at(), at(4), at(4), at(4)},
    {at(), at(4), at(4), at(4)},
    {at(), at(6), at(3, 6), at(3, 6)},
    {at(), at(7), at(4, 7), at(4, 7)},
    {at(), at(7), at(4, 7), at(4, 7)},
    {at(), at(8), at(4, 8), at(3, 6, 9)},
    {at(), at(9), at(5, 9), at(3, 6, 9)},
    {at(), at(9), at(5, 9), at(3, 6, 9)},
    {none, none, none, none},
};
inline constexpr std::uint16_t b_single_pusch[15][4] = {
    {none, none, none, none},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(), at(), at()},
    {at(), at(4), at(4), at(4)},
    {at(), at(4), at(4), at(4)},
    {at(), at(4), at(4), at(4)},
    {at(), at(6), at(3, 6), at(3, 6)},
    {at(), at(6), at(3, 6), at(3, 6)},
    {at(), at(8), at(4, 8), at(3, 6, 9)},
    {at(), at(8), at(4, 8), at(3, 6, 9)},
    {at(), at(10), at(5, 10), at(3, 6, 9)},
    {at(), at(10), at(5, 10), at(3, 6, 9)},
    {at(), at(10), at(5, 10), at(3, 6, 9)},
};

// Tables 6.4.1.1.3-4 and 7.4.1.1.2-4: the first symbols of the pairs.
inline constexpr std::uint16_t a_double[15][2] = {
    {none, none},  {none, none},  {none, none},  {none, none},   {at(), at()},
    {at(), at()},  {at(), at()},  {at(), at()},  {at(), at()},   {at(), at()},
    {at(), at(8)}, {at(), at(8)}, {at(), at(8)}, {at(), at(10)}, {at(), at(10)},
};
inline constexpr std::uint16_t b_double_pdsch[15][2] = {
    {none, none},  {none, none},  {none, none},  {none, none},  {none, none},
    {at(), at()},  {at(), at()},  {at(), at()},  {at(), at(5)}, {at(), at(5)},
    {at(), at(7)}, {at(), at(7)}, {at(), at(8)}, {at(), at(8)}, {none, none},
};
inline constexpr std::uint16_t b_double_pusch[15][2] = {
    {none, none},  {none, none},  {none, none},  {none, none},  {none, none},
    {at(), at()},  {at(), at()},  {at(), at()},  {at(), at(5)}, {at(), at(5)},
    {at(), at(7)}, {at(), at(7)}, {at(), at(9)}, {at(), at(9)}, {at(), at(9)},
};

// Table 6.4.1.1.3-6, intra-slot hopping, rows l_d of a hop: [l_d][additional 0, 1][hop]. The first
// symbol of the second hop with mapping type A is 0, not l_0.
inline constexpr std::uint16_t a2_hop[8][2][2] = {
    {{none, none}, {none, none}},  {{none, none}, {none, none}},   {{none, none}, {none, none}},
    {{none, none}, {none, none}},  {{at(), at()}, {at(), at()}},   {{at(), at()}, {at(), at(4)}},
    {{at(), at()}, {at(), at(4)}}, {{at(), at()}, {at(6), at(4)}},
};
inline constexpr std::uint16_t a3_hop[8][2][2] = {
    {{none, none}, {none, none}},  {{none, none}, {none, none}},  {{none, none}, {none, none}},
    {{none, none}, {none, none}},  {{at(), at()}, {at(), at()}},  {{at(), at()}, {at(), at(4)}},
    {{at(), at()}, {at(), at(4)}}, {{at(), at()}, {at(), at(4)}},
};
inline constexpr std::uint16_t b_hop[8][2][2] = {
    {{none, none}, {none, none}},   {{at(), at()}, {at(), at()}},   {{at(), at()}, {at(), at()}},
    {{at(), at()}, {at(), at()}},   {{at(), at()}, {at(), at()}},   {{at(), at()}, {at(4), at(4)}},
    {{at(), at()}, {at(4), at(4)}}, {{at(), at()}, {at(4), at(4)}},
};

}  // namespace noroshi::nr::dmrs_tables
