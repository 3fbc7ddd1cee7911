// Runs a libFuzzer target without libFuzzer: over every file of the corpora named on the command
// line, over mutations of them, and over random bytes. A smoke run for every build; the fuzz preset
// does the real search.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  const char* seed_text = std::getenv("NOROSHI_TEST_SEED");
  const std::uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 1;
  std::printf("seed %llu (set NOROSHI_TEST_SEED to change)\n",
              static_cast<unsigned long long>(seed));
  noroshi::Prng prng(seed);

  std::vector<std::vector<char>> corpus = {{}};
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  const auto run = [](const std::vector<char>& bytes) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  };
  for (const auto& bytes : corpus) run(bytes);

  constexpr int rounds = 3000;
  for (int round = 0; round < rounds; ++round) {
    std::vector<char> bytes = corpus[prng.below(corpus.size())];
    if (bytes.empty()) bytes.resize(prng.below(200));
    if (bytes.empty()) continue;
    const int changes = 1 + static_cast<int>(prng.below(8));
    for (int c = 0; c < changes && !bytes.empty(); ++c) {
      const std::size_t at = prng.below(bytes.size());
      switch (prng.below(4)) {
        case 0:
          bytes[at] = static_cast<char>(prng.below(256));
          break;
        case 1:
          bytes.resize(at);
          break;
        case 2:
          bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                       bytes[prng.below(bytes.size())]);
          break;
        default:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << prng.below(8)));
          break;
      }
    }
    run(bytes);
  }
  std::printf("%zu corpus files and %d mutations: no fault\n", corpus.size() - 1, rounds);
  return 0;
}
