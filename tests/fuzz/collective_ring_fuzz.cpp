#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/flight/ring_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto ring = megalith::parse_ring(std::as_bytes(std::span(data, size)), "x.ring");
  if (ring) megalith::to_text({*ring}, 100);
  return 0;
}
