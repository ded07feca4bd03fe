// Products on a GPU: which algorithm computes a shape, in which tiles. Plain C++, no GPU needed.
//
// The algorithm is part of the bits and therefore a function of the weight's shape alone, never of the number
// of rows. Tiles are not: within an algorithm every element takes the same steps wherever it stands.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "device/cuda/kernels/chain_map.h"
#include "device/cuda/launch_plan.h"
#include "device/matmul.h"

namespace megalith::cuda {

enum class ProductAlgorithm : std::uint8_t {
  fma,           // the CPU's chain by fp32 multiply-adds: the CPU's bits
  tensor_cores,  // own kernel, steps of sixteen
  library,       // cuBLASLt, one pinned algorithm whose rows were found equal
};
const char* name_of(ProductAlgorithm algorithm);

// What may decide about the algorithm.
struct ProductKey {
  ProductForm form = ProductForm::forward;
  DType operands = DType::bf16;
  DType result = DType::f32;
  std::int64_t outputs = 0;  // N of the weight
  std::int64_t inputs = 0;   // K
  int leaves = 1;
  bool bias = false;
  bool aligned = true;  // every row of every operand starts on 16 bytes
  auto operator<=>(const ProductKey&) const = default;
};
std::string describe(const ProductKey& key);

// What products are made of.
enum class ProductMode : std::uint8_t {
  fast,  // tensor cores and the library in bf16
  cpu,   // the CPU's chain and bits everywhere
  // The library's own first choice, unchecked: the ceiling of benchmarks. It promises nothing about bits.
  unchecked,
};

struct ProductChoice {
  ProductAlgorithm algorithm = ProductAlgorithm::fma;
  int candidate = -1;  // of the library's candidates for this key
  bool operator==(const ProductChoice&) const = default;
};

// Remembers one choice per key. The library is asked once per key that it could serve.
class AlgorithmTable {
 public:
  // The first of the library's candidates whose rows are equal for every number of rows; none when there is
  // no such candidate, or no library.
  using FindCandidate = std::function<std::optional<int>(const ProductKey&)>;

  AlgorithmTable(ProductMode mode, FindCandidate find) : mode_(mode), find_(std::move(find)) {}
  ProductChoice choose(const ProductKey& key);
  [[nodiscard]] const std::map<ProductKey, ProductChoice>& choices() const { return choices_; }

 private:
  [[nodiscard]] ProductChoice decide(const ProductKey& key) const;
  ProductMode mode_;
  FindCandidate find_;
  std::map<ProductKey, ProductChoice> choices_;
};

// Rows that a check multiplies by themselves and compares by bits with the same rows of a product of
// kRowsOfCheck: 1, 7, 64 and 1024 of them, at its start, its end and between tiles.
struct RowPiece {
  std::int64_t first = 0;
  std::int64_t rows = 0;
};
inline constexpr std::int64_t kRowsOfCheck = 8192;
std::vector<RowPiece> row_check_pieces();

// The number of the first of `candidates` for which equal_rows(candidate, piece) holds for every piece.
std::optional<int> first_with_equal_rows(
    int candidates, const std::function<bool(int candidate, const RowPiece&)>& equal_rows);

struct TileShape {
  std::int64_t rows, columns;
  int leaves;  // at most
};
TileShape shape_of(TensorCoreTiling tiling);
inline constexpr TileShape kFmaTile{64, 64, 64};

// REQUIRES: leaves is a power of two up to 64.
TensorCoreTiling choose_tiling(ProductForm form, std::int64_t rows, std::int64_t columns, int leaves,
                               const DeviceShape& device);

// Leaves are never shared out; grains are, where there are fewer tiles than the device has room for.
ProductPlan plan_product(ProductForm form, std::int64_t rows, std::int64_t columns, std::int64_t segments,
                         const TileShape& tile, const DeviceShape& device);

// Levels of subtrees that wait: log2 of the leaves, rounded up to what kernels are made for (0, 3 or 6).
int tree_levels(int leaves);

// REQUIRES: as ChainOrder of the CPU: leaves a power of two up to 64 that divides the dimension and each
// member.
ChainMap chain_of_leaves(const SumOrder& order, std::int64_t dimension);
// REQUIRES: grain divides tokens.
ChainMap chain_of_grains(std::int64_t tokens, std::int64_t grain);

}  // namespace megalith::cuda
