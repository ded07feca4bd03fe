// What one chunk of a pipeline holds of a model: consecutive blocks, and the ends that stand beside them.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "core/error.h"

namespace megalith {

struct ModelPart {
  int first_layer = 0;
  int end_layer = std::numeric_limits<int>::max();  // as many as the model has
  bool embedding = true;
  bool head = true;
  bool operator==(const ModelPart&) const = default;
};

// The pieces of a model whose blocks are dealt out in these numbers, in order.
inline std::vector<ModelPart> parts_of(std::span<const std::int64_t> layers_of_parts) {
  std::vector<ModelPart> parts;
  int first = 0;
  for (std::size_t i = 0; i < layers_of_parts.size(); ++i) {
    MEGALITH_CHECK(layers_of_parts[i] > 0, "a part without layers");
    const int end = first + static_cast<int>(layers_of_parts[i]);
    parts.push_back({.first_layer = first,
                     .end_layer = end,
                     .embedding = i == 0,
                     .head = i + 1 == layers_of_parts.size()});
    first = end;
  }
  return parts;
}

}  // namespace megalith
