// Where a rank's parameters lie: flat ranges, unit by unit, of which it may own a shard alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/numerics_profile.h"
#include "layers/parameter_pieces.h"
#include "layers/shard_place.h"

namespace megalith {

// The matrices of one unit, or its vectors: consecutive elements, the same in every arena.
struct ParameterRange {
  int unit = 0;
  bool matrices = false;
  std::int64_t count = 0;  // elements, those between tensors included, which are zero and stay zero

  // The whole range, as layers see it. Where units share their memory, ranges of one slot lie at one place.
  int slot = 0;
  Tensor working;   // compute dtype for matrices, f32 for vectors
  Tensor gradient;  // i64 or f32; empty when not training

  // What this rank owns: [shard_begin, shard_begin + shard_count). The whole where nothing is sharded.
  std::int64_t shard_begin = 0, shard_count = 0;
  Tensor reduced;                      // as gradient, the one summed over data ranks; empty when not training
  Tensor master;                       // f32; empty where inference keeps the rounded alone
  Tensor rounded;                      // as working: the rounded master, or master itself
  Tensor first_moment, second_moment;  // f32, empty when not training
};

// A tensor's elements in its range.
struct ParameterPlace {
  std::size_t range = 0;
  std::int64_t offset = 0;
  LocalShape shape;
};

struct ParameterArenas {
  Arena& weights;    // working and master
  Arena& gradients;  // as layers see them, and summed
  Arena& moments;
};

// What parameters are made of; a compute dtype alone, and a numerics profile, say it.
struct ParameterTypes {
  ParameterTypes(DType of_compute) : compute(of_compute) {}
  ParameterTypes(const NumericsProfile& profile) : compute(profile.compute), gradient(profile.gradient()) {}
  DType compute;
  DType gradient = DType::i64;  // of matrices: i64 or f32; of vectors always i64
};

struct MemoryPlan {
  ParameterTypes types = DType::f32;
  bool training = true;
  TensorPlace tensor;
  ShardPlace shard;
};

// One function lays out for real and for measuring, so that arenas fit exactly. places[i] is of specs[i].
//
// From stage 2 on gradients, from stage 3 on working weights of whole units are needed for a short while
// only: they lie in slots. The token table has its own, as a tied output needs it beside every other unit;
// the others alternate between two, so that one can be carried while the next is worked on.
struct ParameterMemory {
  std::vector<ParameterRange> ranges;
  std::vector<ParameterPlace> places;
};
ParameterMemory lay_out(std::span<const ParameterSpec> specs, const MemoryPlan& plan, ParameterArenas arenas);

// Elements [begin, end) of a flat tensor; empty where there are none.
Tensor flat_part(const Tensor& flat, std::int64_t begin, std::int64_t end);

}  // namespace megalith
