// Algorithms and tiles of products: what decides and what may not.

#include "device/cuda/product_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "device/cuda/kernels/product_instances.h"

namespace megalith::cuda {
namespace {

constexpr DeviceShape kDevice{.multiprocessors = 132, .shared_bytes = 227 * 1024};

std::optional<int> no_library(const ProductKey&) {
  return std::nullopt;
}

ProductKey key_of(ProductForm form, DType dtype) {
  return {.form = form, .operands = dtype, .result = DType::f32, .outputs = 768, .inputs = 3072};
}

TEST(AlgorithmTable, MultipliesFp32ByTheCpusChainWhateverTheLibrarySays) {
  int asked = 0;
  AlgorithmTable table(ProductMode::fast, [&](const ProductKey&) {
    ++asked;
    return std::optional<int>(0);
  });
  for (const ProductForm form :
       {ProductForm::forward, ProductForm::input_gradient, ProductForm::weight_gradient}) {
    EXPECT_EQ(table.choose(key_of(form, DType::f32)).algorithm, ProductAlgorithm::fma);
  }
  EXPECT_EQ(asked, 0);
}

TEST(AlgorithmTable, TakesTheLibrarysCheckedCandidateOnlyWhereItCanKeepTheOrder) {
  AlgorithmTable table(ProductMode::fast, [](const ProductKey&) { return std::optional<int>(3); });
  const ProductKey plain = key_of(ProductForm::forward, DType::bf16);
  EXPECT_EQ(table.choose(plain), (ProductChoice{ProductAlgorithm::library, 3}));
  ProductKey tree = plain;
  tree.leaves = 8;
  ProductKey bias = plain;
  bias.bias = true;
  ProductKey unaligned = plain;
  unaligned.aligned = false;
  for (const ProductKey& key : {tree, bias, unaligned, key_of(ProductForm::weight_gradient, DType::bf16)}) {
    EXPECT_EQ(table.choose(key).algorithm, ProductAlgorithm::tensor_cores) << describe(key);
  }
}

TEST(AlgorithmTable, TakesTheOwnKernelWhereNoCandidateHasEqualRowsOrThereIsNoLibrary) {
  AlgorithmTable table(ProductMode::fast, no_library);
  EXPECT_EQ(table.choose(key_of(ProductForm::forward, DType::bf16)),
            (ProductChoice{ProductAlgorithm::tensor_cores, -1}));
}

TEST(AlgorithmTable, HasTheCpusChainEverywhereInCpuMode) {
  AlgorithmTable table(ProductMode::cpu, [](const ProductKey&) { return std::optional<int>(0); });
  EXPECT_EQ(table.choose(key_of(ProductForm::forward, DType::bf16)).algorithm, ProductAlgorithm::fma);
}

TEST(AlgorithmTable, PassesOnWhateverTheLibrarySaysInUncheckedMode) {
  AlgorithmTable table(ProductMode::unchecked, [](const ProductKey&) { return std::optional<int>(0); });
  EXPECT_EQ(table.choose(key_of(ProductForm::forward, DType::bf16)),
            (ProductChoice{ProductAlgorithm::library, 0}));
}

// A second answer could be another one, and with it other bits in the middle of a run.
TEST(AlgorithmTable, AsksOncePerShape) {
  int asked = 0;
  AlgorithmTable table(ProductMode::fast, [&](const ProductKey&) { return std::optional<int>(asked++); });
  const ProductKey key = key_of(ProductForm::forward, DType::bf16);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(table.choose(key).candidate, 0);
  ProductKey other = key;
  other.outputs = 769;
  EXPECT_EQ(table.choose(other).candidate, 1);
  EXPECT_EQ(table.choose(key).candidate, 0);
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(table.choices().size(), 2u);
}

TEST(RowCheck, LooksAtOneSevenSixtyFourAndAThousandRowsAtBothEndsAndBetween) {
  std::set<std::int64_t> counts;
  for (const RowPiece& piece : row_check_pieces()) {
    counts.insert(piece.rows);
    EXPECT_GE(piece.first, 0);
    EXPECT_LE(piece.first + piece.rows, kRowsOfCheck);
  }
  EXPECT_EQ(counts, (std::set<std::int64_t>{1, 7, 64, 1024}));
}

TEST(RowCheck, TakesTheFirstCandidateThatPassesAllPieces) {
  // Candidate 0 differs for small products only, 1 only at the end, 2 never.
  const auto equal = [](int candidate, const RowPiece& piece) {
    if (candidate == 0) return piece.rows != 7;
    if (candidate == 1) return piece.first + piece.rows != kRowsOfCheck || piece.rows == 1024;
    return true;
  };
  EXPECT_EQ(first_with_equal_rows(3, equal), 2);
  EXPECT_EQ(first_with_equal_rows(2, equal), std::nullopt);
  EXPECT_EQ(first_with_equal_rows(0, equal), std::nullopt);
}

std::vector<TensorCoreTiling> all_tilings() {
  return {TensorCoreTiling::wide, TensorCoreTiling::tree, TensorCoreTiling::deep, TensorCoreTiling::narrow,
          TensorCoreTiling::gradient};
}

TEST(Tiling, HasRoomForTheLeavesAndSparesIdleRows) {
  for (const int leaves : {1, 2, 4, 8, 16, 32, 64}) {
    for (const std::int64_t rows : {1, 7, 16, 17, 64, 1024, 8192}) {
      for (const std::int64_t columns : {24, 768, 50304}) {
        for (const ProductForm form : {ProductForm::forward, ProductForm::input_gradient}) {
          const TensorCoreTiling tiling = choose_tiling(form, rows, columns, leaves, kDevice);
          EXPECT_GE(shape_of(tiling).leaves, leaves);
          EXPECT_NE(tiling, TensorCoreTiling::gradient);
          EXPECT_EQ(tiling == TensorCoreTiling::narrow, rows <= 16);
        }
      }
    }
  }
  EXPECT_EQ(choose_tiling(ProductForm::forward, 8192, 4096, 1, kDevice), TensorCoreTiling::wide);
  EXPECT_EQ(choose_tiling(ProductForm::forward, 128, 768, 1, kDevice), TensorCoreTiling::tree)
      << "six wide tiles would leave 126 multiprocessors idle";
  EXPECT_EQ(choose_tiling(ProductForm::weight_gradient, 768, 768, 1, kDevice), TensorCoreTiling::gradient);
}

// The kernels that are built agree with the table, and fit a multiprocessor.
TEST(Tiling, TheTableTellsWhatTheKernelsAre) {
  for (const TensorCoreTiling tiling : all_tilings()) {
    const ProductForm form =
        tiling == TensorCoreTiling::gradient ? ProductForm::weight_gradient : ProductForm::forward;
    TensorCoreInstance::call(
        {.form = form, .plan = {}, .tiling = tiling}, [&]<ProductForm called, class Tile>() {
          const TileShape shape = shape_of(tiling);
          EXPECT_EQ(called, form);
          EXPECT_EQ(Tile::kRows, shape.rows);
          EXPECT_EQ(Tile::kColumns, shape.columns);
          EXPECT_EQ(1 << Tile::kLevels, shape.leaves);
          EXPECT_LE(Tile::kThreads, 256);
          using Form = FormTraits<called>;
          const auto bytes =
              static_cast<std::size_t>(TensorCoreShared<Tile, Form::kAlongA, Form::kAlongB>::kBytes);
          EXPECT_LE(2 * bytes, kDevice.shared_bytes) << "two blocks share a multiprocessor";
          // Sums, waiting subtrees and integer sums live in registers: 255 at most, operands and addresses
          // among them.
          EXPECT_LE(
              Tile::kCount * (Tile::kLevels + 1) + (FormTraits<called>::kGradient ? 2 * Tile::kCount : 0),
              160);
        });
  }
}

TEST(ProductPlan, CoversTheResultAndSharesOutGrainsOnlyWhereTilesAreFew) {
  for (const std::int64_t rows : {1, 64, 65, 768, 50257}) {
    for (const std::int64_t columns : {24, 128, 3072}) {
      for (const std::int64_t segments : {1, 3, 8, 1000}) {
        const TileShape tile = shape_of(TensorCoreTiling::gradient);
        const ProductPlan plan =
            plan_product(ProductForm::weight_gradient, rows, columns, segments, tile, kDevice);
        EXPECT_GE(plan.row_tiles * tile.rows, rows);
        EXPECT_LT((plan.row_tiles - 1) * tile.rows, rows);
        EXPECT_GE(plan.column_tiles * tile.columns, columns);
        EXPECT_GE(plan.shares * plan.segments_per_share, segments);
        EXPECT_LT((plan.shares - 1) * plan.segments_per_share, segments) << "no share is empty";
        const ProductPlan forward =
            plan_product(ProductForm::forward, rows, columns, segments, tile, kDevice);
        EXPECT_EQ(forward.shares, 1) << "leaves are joined in one place";
      }
    }
  }
  const TileShape tile = shape_of(TensorCoreTiling::gradient);
  EXPECT_EQ(plan_product(ProductForm::weight_gradient, 4096, 4096, 8, tile, kDevice).shares, 1);
  EXPECT_EQ(plan_product(ProductForm::weight_gradient, 64, 128, 8, tile, kDevice).shares, 8);
}

TEST(ChainMap, LeafFOfAFusedProductIsPartFOfEachMember) {
  const ChainMap chain = chain_of_leaves({.leaves = 4, .members = {16, 8, 8}}, 32);
  EXPECT_EQ(chain.segments, 4);
  EXPECT_EQ(chain.length, 8);
  std::vector<std::int64_t> second;
  for (std::int64_t place = 0; place < 8; ++place) {
    std::int64_t run = 0;
    second.push_back(chain.source(1, place, &run));
  }
  EXPECT_EQ(second, (std::vector<std::int64_t>{4, 5, 6, 7, 18, 19, 26, 27}));
  std::int64_t run = 0;
  chain.source(1, 1, &run);
  EXPECT_EQ(run, 3) << "then the next member begins";
}

TEST(ChainMap, GrainsFollowEachOther) {
  const ChainMap chain = chain_of_grains(96, 32);
  EXPECT_EQ(chain.segments, 3);
  std::int64_t run = 0;
  EXPECT_EQ(chain.source(2, 5, &run), 69);
  EXPECT_EQ(run, 27);
}

}  // namespace
}  // namespace megalith::cuda
