#include "core/digest.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace megalith {

std::uint64_t digest_bytes(const void* data, std::size_t size) {
  return XXH3_64bits(data, size);
}
std::string to_hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}
std::string to_hex(std::uint32_t value) {
  return fmt::format("{:08x}", value);
}

Digester::Digester() : state_(XXH3_createState()) {
  XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_));
}
Digester::~Digester() {
  XXH3_freeState(static_cast<XXH3_state_t*>(state_));
}
void Digester::update(const void* data, std::size_t size) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), data, size);
}
std::uint64_t Digester::value() const {
  return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_));
}

}  // namespace megalith
