#include "device/cuda/product_plan.h"

#include <algorithm>
#include <bit>

namespace megalith::cuda {
namespace {

std::int64_t tiles_for(std::int64_t count, std::int64_t in_tile) {
  return (count + in_tile - 1) / in_tile;
}

bool legal(int leaves) {
  return leaves >= 1 && leaves <= 64 && std::has_single_bit(static_cast<unsigned>(leaves));
}

}  // namespace

const char* name_of(ProductForm form) {
  switch (form) {
    case ProductForm::forward:
      return "forward";
    case ProductForm::input_gradient:
      return "input gradient";
    case ProductForm::weight_gradient:
      return "weight gradient";
  }
  return "?";
}

const char* name_of(ProductAlgorithm algorithm) {
  switch (algorithm) {
    case ProductAlgorithm::fma:
      return "multiply-adds";
    case ProductAlgorithm::tensor_cores:
      return "tensor cores";
    case ProductAlgorithm::library:
      return "cuBLASLt";
  }
  return "?";
}

std::string describe(const ProductKey& key) {
  return fmt::format("{} {} -> {} {}x{}, {} leaves{}{}", name_of(key.form), name_of(key.operands),
                     name_of(key.result), key.outputs, key.inputs, key.leaves, key.bias ? ", bias" : "",
                     key.aligned ? "" : ", unaligned");
}

ProductChoice AlgorithmTable::choose(const ProductKey& key) {
  const auto known = choices_.find(key);
  if (known != choices_.end()) return known->second;
  return choices_[key] = decide(key);
}

ProductChoice AlgorithmTable::decide(const ProductKey& key) const {
  if (mode_ == ProductMode::cpu || key.operands == DType::f32) return {.algorithm = ProductAlgorithm::fma};
  // The library has no trees. Its bias is rounded elsewhere than ours. Grains are looped inside our own
  // kernel, where their sums stay in registers.
  const bool library =
      key.form != ProductForm::weight_gradient && key.leaves == 1 && !key.bias && key.aligned;
  if (library) {
    if (const std::optional<int> candidate = find_(key)) {
      return {.algorithm = ProductAlgorithm::library, .candidate = *candidate};
    }
  }
  return {.algorithm = ProductAlgorithm::tensor_cores};
}

std::vector<RowPiece> row_check_pieces() {
  std::vector<RowPiece> pieces;
  for (const std::int64_t rows : {1, 7, 64, 1024}) {
    pieces.push_back({0, rows});
    pieces.push_back({kRowsOfCheck / 2 - rows / 2 - 1, rows});  // across a tile's border
    pieces.push_back({kRowsOfCheck - rows, rows});
  }
  return pieces;
}

std::optional<int> first_with_equal_rows(
    int candidates, const std::function<bool(int candidate, const RowPiece&)>& equal_rows) {
  const std::vector<RowPiece> pieces = row_check_pieces();
  for (int candidate = 0; candidate < candidates; ++candidate) {
    if (std::all_of(pieces.begin(), pieces.end(),
                    [&](const RowPiece& piece) { return equal_rows(candidate, piece); })) {
      return candidate;
    }
  }
  return std::nullopt;
}

TileShape shape_of(TensorCoreTiling tiling) {
  switch (tiling) {
    case TensorCoreTiling::wide:
      return {128, 128, 1};
    case TensorCoreTiling::tree:
      return {64, 128, 8};
    case TensorCoreTiling::deep:
      return {64, 64, 64};
    case TensorCoreTiling::narrow:
      return {16, 128, 64};
    case TensorCoreTiling::gradient:
      return {64, 128, 1};
  }
  return {};
}

TensorCoreTiling choose_tiling(ProductForm form, std::int64_t rows, std::int64_t columns, int leaves,
                               const DeviceShape& device) {
  MEGALITH_CHECK(legal(leaves), "{} leaves", leaves);
  if (form == ProductForm::weight_gradient) return TensorCoreTiling::gradient;
  if (rows <= 16) return TensorCoreTiling::narrow;
  if (leaves > 8) return TensorCoreTiling::deep;
  const bool few = tiles_for(rows, 128) * tiles_for(columns, 128) < device.multiprocessors;
  return leaves > 1 || few ? TensorCoreTiling::tree : TensorCoreTiling::wide;
}

ProductPlan plan_product(ProductForm form, std::int64_t rows, std::int64_t columns, std::int64_t segments,
                         const TileShape& tile, const DeviceShape& device) {
  ProductPlan plan{.row_tiles = tiles_for(rows, tile.rows),
                   .column_tiles = tiles_for(columns, tile.columns),
                   .shares = 1,
                   .segments_per_share = segments};
  if (form != ProductForm::weight_gradient) return plan;
  // A share ends in 8 bytes added to memory per element: two blocks per multiprocessor are enough.
  const std::int64_t wanted = tiles_for(2 * device.multiprocessors, plan.row_tiles * plan.column_tiles);
  const std::int64_t shares = std::clamp<std::int64_t>(wanted, 1, std::min(segments, kMostBlocksAlongY));
  plan.segments_per_share = tiles_for(segments, shares);
  plan.shares = tiles_for(segments, plan.segments_per_share);
  return plan;
}

int tree_levels(int leaves) {
  MEGALITH_CHECK(legal(leaves), "{} leaves", leaves);
  return leaves == 1 ? 0 : leaves <= 8 ? 3 : 6;
}

ChainMap chain_of_leaves(const SumOrder& order, std::int64_t dimension) {
  std::array<std::int64_t, 3> members = order.members;
  if (members[0] == 0) members = {dimension, 0, 0};
  MEGALITH_CHECK(legal(order.leaves) && members[0] + members[1] + members[2] == dimension,
                 "{} leaves, members of {} in {}", order.leaves, members[0] + members[1] + members[2],
                 dimension);
  ChainMap chain{.segments = order.leaves, .length = dimension / order.leaves, .begin = {}, .count = {}};
  std::int64_t begin = 0;
  for (std::size_t m = 0; m < members.size(); ++m) {
    MEGALITH_CHECK(members[m] % order.leaves == 0, "a member of {} in {} leaves", members[m], order.leaves);
    chain.begin[m] = begin;
    chain.count[m] = members[m] / order.leaves;
    begin += members[m];
  }
  return chain;
}

ChainMap chain_of_grains(std::int64_t tokens, std::int64_t grain) {
  MEGALITH_CHECK(grain > 0 && tokens % grain == 0, "{} tokens in grains of {}", tokens, grain);
  return {.segments = tokens / grain, .length = grain, .begin = {}, .count = {grain, 0, 0}};
}

}  // namespace megalith::cuda
