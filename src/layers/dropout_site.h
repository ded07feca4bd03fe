// Places in the model that drop: one number each, so that no two masks share draws. Attention weights take
// one site per head: heads are counted upwards from the layer's site.
#pragma once

#include <cstdint>

namespace megalith {

inline constexpr std::uint32_t kSitesPerLayer = 1u << 16;
inline constexpr std::uint32_t kEmbeddingSite = 1;

inline std::uint32_t layer_site(int layer) {
  return static_cast<std::uint32_t>(layer + 1) * kSitesPerLayer;
}
inline std::uint32_t attention_out_site(int layer) {
  return layer_site(layer);
}
inline std::uint32_t feed_forward_out_site(int layer) {
  return layer_site(layer) + 1;
}
inline std::uint32_t attention_weights_site(int layer) {
  return layer_site(layer) + 2;
}

}  // namespace megalith
