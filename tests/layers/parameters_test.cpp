// What each tensor rank holds of a model's parameters.

#include "layers/parameters.h"

#include <gtest/gtest.h>

#include <map>

#include "device/cpu/cpu_device.h"
#include "model/model_fixture.h"

namespace megalith {
namespace {

// Every kind of cut: grouped queries, a gated feed-forward, tied or not, a vocabulary that is no multiple.
ModelConfig model_of(std::int64_t vocabulary, bool parallel_residual) {
  ModelConfig config = test::small_model();
  config.vocabulary = vocabulary;
  config.hidden = 32;
  config.heads = 8;
  config.kv_heads = 8;
  config.head_size = 4;
  config.feed_forward = 48;
  config.activation = parallel_residual ? Activation::gelu_tanh : Activation::swiglu;
  config.parallel_residual = parallel_residual;
  config.biases = true;
  config.tied_output = false;
  return config;
}

std::vector<ParameterSpec> specs_of(std::int64_t vocabulary, bool parallel_residual) {
  return Transformer::specs(model_of(vocabulary, parallel_residual), test::small_profile(DType::f32, 32));
}

const std::vector<std::pair<std::int64_t, bool>> kModels = {
    {512, false}, {509, false}, {67, true}, {16, true}};

TEST(NansOfBf16, AreMadeEqualWhereverTheyStandAndNothingElseChanges) {
  for (const std::size_t count : {1, 63, 64, 65, 200}) {
    std::vector<std::uint16_t> before(count);
    for (std::size_t i = 0; i < count; ++i)  // infinities and denormals among them
      before[i] = static_cast<std::uint16_t>((i % 2 << 15) + (i % 3 == 0   ? 0x7f80
                                                              : i % 3 == 1 ? 1
                                                                           : 0x3f80 + i));
    for (std::size_t place = 0; place < count; ++place) {
      std::vector<bf16> values;
      for (const std::uint16_t bits : before) values.push_back({bits});
      for (const std::uint16_t nan : {0x7f81, 0xff81, 0xffff, 0x7fc0}) {
        values[place].bits = nan;
        make_nans_equal(values);
        for (std::size_t i = 0; i < count; ++i)
          ASSERT_EQ(values[i].bits, i == place ? 0x7fc0 : before[i]) << i << " of " << count;
      }
    }
  }
}

TEST(ParameterPieces, OfAllTensorRanksCoverEachLogicalElementOnceAndNoMemoryTwice) {
  for (const auto& [vocabulary, parallel] : kModels) {
    for (const int size : {1, 2, 4, 8}) {
      for (const ParameterSpec& spec : specs_of(vocabulary, parallel)) {
        std::map<std::int64_t, int> holders;
        for (int rank = 0; rank < size; ++rank) {
          const LocalShape shape = local_shape(spec, {size, rank});
          std::map<std::int64_t, int> taken;
          for (const ParameterPiece& piece : pieces_of(spec, {size, rank})) {
            for (std::int64_t r = 0; r < piece.rows; ++r) {
              for (std::int64_t c = 0; c < piece.columns; ++c) {
                const std::int64_t at = piece.offset + r * piece.stride + c;
                ASSERT_LT(at, shape.rows * shape.columns);
                ASSERT_EQ(++taken[at], 1) << spec.name;
                ++holders[(piece.row + r) * spec.columns + piece.column + c];
              }
            }
          }
        }
        ASSERT_EQ(static_cast<std::int64_t>(holders.size()), spec.rows * spec.columns) << spec.name;
        for (const auto& [element, count] : holders) ASSERT_EQ(count, spec.cut == Cut::none ? size : 1);
      }
    }
  }
}

TEST(ParameterPieces, KeepFusedMembersInTheirOrder) {
  for (const ParameterSpec& spec : specs_of(512, false)) {
    if (spec.name != "layers.0.attention.qkv.weight") continue;
    const std::vector<ParameterPiece> pieces = pieces_of(spec, {4, 1});
    ASSERT_EQ(pieces.size(), 3u);
    for (std::int64_t member = 0; member < 3; ++member) {
      EXPECT_EQ(pieces[static_cast<std::size_t>(member)].row, 32 * member + 8);
      EXPECT_EQ(pieces[static_cast<std::size_t>(member)].rows, 8);
      EXPECT_EQ(pieces[static_cast<std::size_t>(member)].offset, 8 * 32 * member);
    }
    return;
  }
  FAIL() << "no such parameter";
}

TEST(ParameterPieces, OfOneRankAreWholeTensors) {
  for (const ParameterSpec& spec : specs_of(509, false)) {
    const std::vector<ParameterPiece> pieces = pieces_of(spec, {});
    ASSERT_EQ(pieces.size(), 1u) << spec.name;
    EXPECT_EQ(pieces[0].rows, spec.rows);
    EXPECT_EQ(pieces[0].columns, spec.columns);
  }
}

class ParametersOfRanks : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kSeed = 1234;
  std::unique_ptr<Device> device_ = cpu::make_device(1, cpu::available_isas().back());

  static Parameters make(std::int64_t vocabulary, bool parallel, TensorPlace place, int threads = 1,
                         ShardPlace shard = {}) {
    Parameters parameters(specs_of(vocabulary, parallel), DType::bf16, Parameters::Use::training, place,
                          shard);
    parameters.initialise(kSeed, threads);
    return parameters;
  }
  // Element by logical index.
  static std::map<std::uint64_t, float> values(const Parameters& parameters) {
    std::map<std::uint64_t, float> all;
    for (const Parameter& p : parameters.all()) {
      for (const ParameterPiece& piece : p.pieces) {
        const Tensor box = piece.of(p.master);
        for (std::int64_t r = 0; r < piece.rows; ++r) {
          for (std::int64_t c = 0; c < piece.columns; ++c)
            all[p.index_of(piece) + static_cast<std::uint64_t>(r * p.spec.columns + c)] =
                box.row<float>(r)[c];
        }
      }
    }
    return all;
  }
};

TEST_F(ParametersOfRanks, BeginAsSlicesOfTheWhole) {
  for (const auto& [vocabulary, parallel] : kModels) {
    const std::map<std::uint64_t, float> whole = values(make(vocabulary, parallel, {}));
    for (const int size : {2, 4, 8}) {
      for (int rank = 0; rank < size; ++rank) {
        for (const auto& [index, value] : values(make(vocabulary, parallel, {size, rank})))
          ASSERT_EQ(value, whole.at(index)) << index;
      }
    }
  }
}

TEST_F(ParametersOfRanks, HaveDigestsThatAddUpToTheWholes) {
  for (const auto& [vocabulary, parallel] : kModels) {
    const std::uint64_t whole = make(vocabulary, parallel, {}).digest(*device_);
    for (const int size : {2, 4, 8}) {
      std::uint64_t sum = 0;
      for (int rank = 0; rank < size; ++rank)
        sum += make(vocabulary, parallel, {size, rank}).digest(*device_);
      EXPECT_EQ(sum, whole) << vocabulary << " over " << size;
    }
  }
}

TEST_F(ParametersOfRanks, BeginEqualWithAnyNumberOfThreads) {
  const std::map<std::uint64_t, float> once = values(make(2048, false, {}));
  for (const int threads : {2, 3}) EXPECT_EQ(values(make(2048, false, {}, threads)), once) << threads;
}

TEST_F(ParametersOfRanks, TakeFromARowWhatTheyHoldOfIt) {
  for (int rank = 0; rank < 4; ++rank) {
    const Parameters parameters = make(67, true, {4, rank});
    const Parameter& p = parameters.named("layers.0.out.weight");  // [32, 32 + 48], cut by columns
    std::vector<float> row(80);
    for (std::size_t c = 0; c < row.size(); ++c) row[c] = static_cast<float>(1000 + c);
    Parameters::set_row(p, 5, 0, row);
    ASSERT_EQ(p.pieces.size(), 2u);
    for (const ParameterPiece& piece : p.pieces) {
      for (std::int64_t c = 0; c < piece.columns; ++c)
        EXPECT_EQ(piece.of(p.master).row<float>(5)[c], static_cast<float>(1000 + piece.column + c));
    }
    EXPECT_LT(p.master.row<float>(4)[0], 1000);
    EXPECT_TRUE(p.holds(5, 8 * rank, 1));
    EXPECT_FALSE(p.holds(5, 8 * ((rank + 1) % 4), 8));
  }
}

TEST_F(ParametersOfRanks, ShardedOwnEachElementOnceAndBeginAsTheWhole) {
  for (const auto& [vocabulary, parallel] : kModels) {
    const Parameters alone = make(vocabulary, parallel, {});
    const std::map<std::uint64_t, float> whole = values(alone);
    for (const int stage : {1, 2, 3}) {
      for (const auto& [tensor, data] : std::vector<std::pair<int, int>>{{1, 2}, {1, 7}, {4, 3}}) {
        std::map<std::uint64_t, int> owners;
        std::uint64_t digest = 0;
        for (int t = 0; t < tensor; ++t) {
          for (int d = 0; d < data; ++d) {
            const Parameters shard = make(vocabulary, parallel, {tensor, t}, 1, {stage, data, d});
            digest += shard.digest(*device_);
            for (const auto& [index, value] : values(shard)) {
              ASSERT_EQ(value, whole.at(index)) << index;
              ++owners[index];
            }
          }
        }
        EXPECT_EQ(digest, alone.digest(*device_)) << stage << ": " << tensor << " x " << data;
        ASSERT_EQ(owners.size(), whole.size());
        for (const Parameter& p : alone.all()) {
          for (std::int64_t i = 0; i < p.logical_count(); ++i)
            ASSERT_EQ(owners[p.spec.first_index + static_cast<std::uint64_t>(i)],
                      p.spec.cut == Cut::none ? tensor : 1)
                << p.spec.name;
        }
      }
    }
  }
}

TEST_F(ParametersOfRanks, LieUnitByUnit) {
  const Parameters parameters = make(509, false, {2, 1});
  int unit = -1;
  std::int64_t elements = 0;
  for (const ParameterRange& range : parameters.ranges()) {
    EXPECT_GE(range.unit, unit);
    unit = range.unit;
    elements += range.count;
    for (const Parameter& p : parameters.all()) {
      if (p.spec.unit != range.unit || p.spec.is_matrix != range.matrices) continue;
      const auto distance = [](const Tensor& of, const Tensor& from) {
        return (static_cast<std::byte*>(of.data) - static_cast<std::byte*>(from.data)) /
               static_cast<std::ptrdiff_t>(size_of(of.dtype));
      };
      const std::ptrdiff_t offset = distance(p.gradient, range.gradient);
      EXPECT_EQ(distance(p.master, range.master), offset) << p.spec.name;
      EXPECT_EQ(distance(p.working, range.working), offset) << p.spec.name;
      EXPECT_EQ(distance(p.second_moment, range.second_moment), offset) << p.spec.name;
      EXPECT_LE(offset + p.master.count(), range.count) << p.spec.name;
    }
  }
  EXPECT_EQ(parameters.all().front().spec.unit, kTokenTableUnit);
  EXPECT_EQ(parameters.all().back().spec.unit, head_unit(static_cast<int>(model_of(509, false).layers)));
  EXPECT_GE(elements, static_cast<std::int64_t>(values(parameters).size()));
}

}  // namespace
}  // namespace megalith
