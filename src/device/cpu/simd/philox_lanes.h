// Sixteen blocks of core/philox.h at a time, bit for bit.
#pragma once

#include <cstdint>

namespace megalith::cpu {

// counter[w] holds word w of sixteen counters and becomes word w of their draws.
template <class Ints>
void philox_lanes(Ints (&counter)[4], std::uint32_t key0, std::uint32_t key1) {
  const auto broadcast = [](std::uint32_t x) { return Ints::broadcast(static_cast<std::int32_t>(x)); };
  for (int round = 0; round < 10; ++round) {
    const auto product0 = multiply_wide(counter[0], 0xD2511F53u);
    const auto product1 = multiply_wide(counter[2], 0xCD9E8D57u);
    counter[0] = product1.high ^ counter[1] ^ broadcast(key0);
    counter[1] = product1.low;
    counter[2] = product0.high ^ counter[3] ^ broadcast(key1);
    counter[3] = product0.low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

}  // namespace megalith::cpu
