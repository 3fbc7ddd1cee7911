#pragma once

// TS 38.211 tables 6.3.1.5-1 to -7. A matrix is its rows, one an antenna port, one letter a layer:
// 0, + (1), - (-1), j, k (-j), times 1 / sqrt(divisor). Index: TPMI.

namespace noroshi::nr::pusch_precoding_tables {

struct Matrix {
  int divisor;
  const char* rows;
};

// Table 6.3.1.5-1.
inline constexpr Matrix two_ports_one_layer[] = {
    {2, "+ 0"}, {2, "0 +"}, {2, "+ +"}, {2, "+ -"}, {2, "+ j"}, {2, "+ k"},
};

// Table 6.3.1.5-2.
inline constexpr Matrix four_ports_one_layer_dft[] = {
    {4, "+ 0 0 0"}, {4, "0 + 0 0"}, {4, "0 0 + 0"}, {4, "0 0 0 +"}, {4, "+ 0 + 0"}, {4, "+ 0 - 0"},
    {4, "+ 0 j 0"}, {4, "+ 0 k 0"}, {4, "0 + 0 +"}, {4, "0 + 0 -"}, {4, "0 + 0 j"}, {4, "0 + 0 k"},
    {4, "+ + + -"}, {4, "+ + j j"}, {4, "+ + - +"}, {4, "+ + k k"}, {4, "+ j + j"}, {4, "+ j j +"},
    {4, "+ j - k"}, {4, "+ j k -"}, {4, "+ - + +"}, {4, "+ - j k"}, {4, "+ - - -"}, {4, "+ - k j"},
    {4, "+ k + k"}, {4, "+ k j -"}, {4, "+ k - j"}, {4, "+ k k +"},
};

// Table 6.3.1.5-3.
inline constexpr Matrix four_ports_one_layer[] = {
    {4, "+ 0 0 0"}, {4, "0 + 0 0"}, {4, "0 0 + 0"}, {4, "0 0 0 +"}, {4, "+ 0 + 0"}, {4, "+ 0 - 0"},
    {4, "+ 0 j 0"}, {4, "+ 0 k 0"}, {4, "0 + 0 +"}, {4, "0 + 0 -"}, {4, "0 + 0 j"}, {4, "0 + 0 k"},
    {4, "+ + + +"}, {4, "+ + j j"}, {4, "+ + - -"}, {4, "+ + k k"}, {4, "+ j + j"}, {4, "+ j j -"},
    {4, "+ j - k"}, {4, "+ j k +"}, {4, "+ - + -"}, {4, "+ - j k"}, {4, "+ - - +"}, {4, "+ - k j"},
    {4, "+ k + k"}, {4, "+ k j +"}, {4, "+ k - j"}, {4, "+ k k -"},
};

// Table 6.3.1.5-4.
inline constexpr Matrix two_ports_two_layers[] = {
    {2, "+0 0+"},
    {4, "++ +-"},
    {4, "++ jk"},
};

// Table 6.3.1.5-5.
inline constexpr Matrix four_ports_two_layers[] = {
    {4, "+0 0+ 00 00"}, {4, "+0 00 0+ 00"}, {4, "+0 00 00 0+"}, {4, "00 +0 0+ 00"},
    {4, "00 +0 00 0+"}, {4, "00 00 +0 0+"}, {4, "+0 0+ +0 0k"}, {4, "+0 0+ +0 0j"},
    {4, "+0 0+ k0 0+"}, {4, "+0 0+ k0 0-"}, {4, "+0 0+ -0 0k"}, {4, "+0 0+ -0 0j"},
    {4, "+0 0+ j0 0+"}, {4, "+0 0+ j0 0-"}, {8, "++ ++ +- +-"}, {8, "++ ++ jk jk"},
    {8, "++ jj +- jk"}, {8, "++ jj jk -+"}, {8, "++ -- +- -+"}, {8, "++ -- jk kj"},
    {8, "++ kk +- kj"}, {8, "++ kk jk +-"},
};

// Table 6.3.1.5-6.
inline constexpr Matrix four_ports_three_layers[] = {
    {4, "+00 0+0 00+ 000"},  {4, "+00 0+0 +00 00+"},  {4, "+00 0+0 -00 00+"},
    {12, "+++ +-+ ++- +--"}, {12, "+++ +-+ jjk jkk"}, {12, "+++ -+- ++- -++"},
    {12, "+++ -+- jjk kjj"},
};

// Table 6.3.1.5-7.
inline constexpr Matrix four_ports_four_layers[] = {
    {4, "+000 0+00 00+0 000+"},  {8, "++00 00++ +-00 00+-"},  {8, "++00 00++ jk00 00jk"},
    {16, "++++ +-+- ++-- +--+"}, {16, "++++ +-+- jjkk jkkj"},
};

}  // namespace noroshi::nr::pusch_precoding_tables
