// Any bytes are a safetensors file or are refused; what is accepted lies within the bytes.
#include <cstddef>
#include <cstdint>

#include "run/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data), size);
  const auto view = megalith::SafetensorsView::parse(file, "fuzz");
  if (!view) return 0;
  std::size_t covered = 0;
  unsigned sum = 0;
  for (const auto& [name, tensor] : view->tensors()) {
    covered += tensor.bytes.size();
    for (const std::byte byte : tensor.bytes)
      sum += std::to_integer<unsigned>(byte);  // a sanitizer watches the reads
  }
  MEGALITH_CHECK(covered <= size, "{} bytes of {}, sum {}", covered, size, sum);
  return 0;
}
