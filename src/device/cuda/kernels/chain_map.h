// Where the terms of a product's chains lie in the summed dimension. A segment is a chain of its own: a leaf
// of a tree, or a grain of tokens. Place p of segment s is element source(s, p).
#pragma once

#include <cstdint>

#include "core/kernel_function.h"

namespace megalith::cuda {

struct ChainMap {
  std::int64_t segments = 1;
  std::int64_t length = 0;  // terms of a segment
  // Fused members: segment s is part s of each, in member order; counts of one part.
  std::int64_t begin[3] = {};
  std::int64_t count[3] = {};

  // The element at place `place` of segment `segment`, and in *run how many elements from there on follow
  // each other in memory and in the chain. REQUIRES: place < length.
  MEGALITH_KERNEL std::int64_t source(std::int64_t segment, std::int64_t place, std::int64_t* run) const {
    int member = 0;
    while (member < 2 && place >= count[member]) place -= count[member++];
    *run = count[member] - place;
    return begin[member] + segment * count[member] + place;
  }
};

}  // namespace megalith::cuda
