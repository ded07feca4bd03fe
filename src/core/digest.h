// Digests: of files (XXH3-64) and of parameters (a sum that composes over any cut into shards).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace megalith {

std::uint64_t digest_bytes(const void* data, std::size_t size);  // XXH3-64
std::string to_hex(std::uint64_t value);                         // 16 lower-case digits
std::string to_hex(std::uint32_t value);                         // 8 lower-case digits

// Streaming XXH3-64: equal to digest_bytes of the concatenation.
class Digester {
 public:
  Digester();
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;
  void update(const void* data, std::size_t size);
  [[nodiscard]] std::uint64_t value() const;

 private:
  void* state_;
};

// One element's share of a parameter digest: the digest of a set of elements is the sum of their shares mod
// 2^64, so row-split, column-split and ZeRO shards add up to the whole. -0 counts as +0 and every NaN as one.
constexpr std::uint64_t element_digest(std::uint64_t logical_index, std::uint32_t float_bits) {
  if ((float_bits & 0x7fffffffu) == 0) float_bits = 0;
  if ((float_bits & 0x7fffffffu) > 0x7f800000u) float_bits = 0x7fc00000u;
  // Two multiply-xorshift rounds (as in splitmix64's finaliser) over index and bits.
  std::uint64_t x = logical_index * 0x9E3779B97F4A7C15u + float_bits;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace megalith
