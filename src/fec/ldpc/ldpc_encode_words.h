#pragma once

// The LDPC encoder for lifting sizes below 64, without vectors: a column is a machine word.

#include <cstdint>

namespace noroshi::fec {

// As cpu::ldpc_encode; bits after codeword_bits in the last byte are undefined. Precondition:
// zc < 64.
void ldpc_encode_words(int base_graph, int zc, const std::uint8_t* bits, std::uint8_t* codeword,
                       int codeword_bits);

}  // namespace noroshi::fec
