// Which layouts are legal: what the keys parallel.* mean for a number of ranks, checked before anything is
// allocated. docs/parallelism.md explains each rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "core/error.h"
#include "train/train_config.h"

namespace megalith {

// What a layout is refused for, in the order in which the rules are checked.
enum class LayoutRule : std::uint8_t {
  product,           // ranks = tensor x pipeline x data
  tree,              // tensor divides numerics.tree
  heads,             // tensor divides the heads
  kv_heads,          // a tensor rank holds whole key/value heads, or a whole number of ranks share each
  tokens,            // the tokens of a micro batch are cut evenly over tensor ranks
  layers,            // every chunk has a layer
  stage_layers,      // what is listed are all chunks, and their layers all layers
  schedule,          // interleaved and only interleaved has chunks, over more than one stage
  batch,             // every data rank has a grain of every step
  recompute_layers,  // a number of layers to recompute goes with recomputing
};
inline constexpr std::size_t kLayoutRules = 10;
// "tensor divides numerics.tree": for tables.
const char* name_of(LayoutRule rule);

struct LayoutRefusal {
  LayoutRule rule = LayoutRule::product;
  Refusal refusal;
};

// Every broken rule. data = 0 stands for the ranks that the other axes leave. REQUIRES: a resolved config
// that check_train accepts.
std::vector<LayoutRefusal> broken_layout_rules(const TrainConfig& config, std::int64_t ranks,
                                               const Registry& registry);

// The config's layout on so many ranks, or every broken rule.
Expected<Layout> layout_of(const TrainConfig& config, std::int64_t ranks);

// Of keys in which data is resolved.
Layout layout_of(const ParallelConfig& parallel);

// "8 ranks = tensor 2 x pipeline 2 x data 2": the axes that have ranks, and data always.
// All that the bits of numerics.mode "fast" depend on besides what is the same in every layout.
std::string sums_of_layout(const TrainConfig& config, const Layout& layout);

std::string equation(const Layout& layout);

// Layers of every chunk in the model's order: chunk c of stage p is number c * pipeline + p. As even as may
// be, the longer ones first, unless stage_layers says otherwise. REQUIRES: a legal layout.
std::vector<std::int64_t> layers_of_chunks(const ParallelConfig& parallel, std::int64_t layers);

// Sequences that a step's batch is dealt out to data ranks by: the fewest that are whole grains.
std::int64_t sequences_per_unit(const TrainConfig& config);
// Sequences that a micro batch is a multiple of: whole grains, whose tokens so many tensor ranks cut evenly.
std::int64_t sequences_of_whole_cuts(const TrainConfig& config, std::int64_t tensor);

// "selective", as the key has it.
const char* name_of(Recompute recompute);

}  // namespace megalith
