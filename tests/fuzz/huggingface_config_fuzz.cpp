// Any bytes are a config.json that can be honoured or are refused; what is accepted names its tensors without
// a large allocation.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/huggingface_map.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = megalith::parse_huggingface_config(text, "fuzz");
  if (!config) return 0;
  config->model.layers =
      std::min<std::int64_t>(config->model.layers, 3);  // of a folder: bounded by its tensors
  for (const megalith::WeightPiece& piece : megalith::huggingface_pieces(*config, "model.")) {
    MEGALITH_CHECK(piece.rows > 0 && piece.columns > 0, "{} is empty", piece.parameter);
  }
  return 0;
}
