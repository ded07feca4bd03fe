// train.init: the shape that weights bring along, what may not contradict it, and that training begins with
// them.

#include "train/initial_weights.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "train/trainer_fixture.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

const char* const kConfig = R"({"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 44, "max_position_embeddings": 64,
  "vocab_size": 61, "tie_word_embeddings": true})";

class InitialWeightsTest : public testing::Test {
 protected:
  InitialWeightsTest() : folder_(fs::temp_directory_path() / fmt::format("init-{}", ::getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_file_atomically(folder_ / "config.json", kConfig);
    const HuggingFaceConfig config = value_or_throw(parse_huggingface_config(kConfig, "config.json"));
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const WeightPiece& piece : huggingface_pieces(config, "model.")) {
      shapes[piece.source] = {piece.source_rows, piece.source_columns};
      if (piece.source_rows == 1) shapes[piece.source] = {piece.source_columns};
    }
    std::vector<TensorDeclaration> declarations;
    for (const auto& [name, shape] : shapes) declarations.push_back({name, DType::f32, shape});
    SafetensorsWriter writer(folder_ / "model.safetensors", declarations, {});
    for (const auto& [name, shape] : shapes) {
      const std::int64_t count = shape.size() == 1 ? shape[0] : shape[0] * shape[1];
      std::vector<float> values(static_cast<std::size_t>(count), 0.25f);
      writer.append(Tensor(values.data(), DType::f32, {count}));
    }
    static_cast<void>(writer.finish());
  }
  ~InitialWeightsTest() override { fs::remove_all(folder_); }

  [[nodiscard]] Expected<TrainConfig> config(std::vector<std::string> overrides) const {
    overrides.push_back("train.init=" + folder_.string());
    overrides.emplace_back("numerics.tree=4");
    return load_train_config("", overrides, "");
  }

  fs::path folder_;
};

TEST_F(InitialWeightsTest, BringTheirShapeAndLeaveWhatTrainingDecides) {
  const Expected<TrainConfig> loaded = config({"model.dropout=0.1", "model.hidden=32"});
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  EXPECT_EQ(loaded->model.norm, Norm::rms);
  EXPECT_EQ(loaded->model.kv_heads, 2);
  EXPECT_EQ(loaded->model.feed_forward, 44);
  EXPECT_EQ(loaded->model.vocabulary, 61);
  EXPECT_EQ(loaded->model.dropout, 0.1);
  EXPECT_EQ(loaded->batch.sequence, 64);
}

TEST_F(InitialWeightsTest, RefuseKeysThatContradictThem) {
  const Expected<TrainConfig> loaded = config({"model.hidden=64"});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(
      to_string(loaded.error()),
      "--set model.hidden: found 64; allowed: 32, as the weights of train.init have; try: leave the key "
      "out");
  const Expected<TrainConfig> nothing =
      load_train_config("", std::vector<std::string>{"train.init=/nowhere"}, "");
  ASSERT_FALSE(nothing);
  EXPECT_NE(to_string(nothing.error()).find("train.init"), std::string::npos);
}

TEST_F(InitialWeightsTest, AreWhatTheFirstStepSees) {
  TrainConfig run = value_or_throw(config({"numerics.dtype=f32", "batch.global=4", "batch.micro=2"}));
  run.batch.sequence = test::kTokens;
  run.numerics.grain = test::kTokens;
  test::SmallTraining training(run);
  value_or_throw(training.trainer.begin_with(value_or_throw(InitialWeights::open(folder_.string()))));
  for (const Parameter& p : training.trainer.parameters().all()) {
    for (std::int64_t i = 0; i < p.logical_count(); ++i) ASSERT_EQ(p.master.as<float>()[i], 0.25f);
  }
  // Equal weights everywhere make every token equally likely.
  EXPECT_NEAR(training.trainer.run_step(0).loss, std::log(61.0), 1e-5);
}

TEST(NumericsTree, OfAShapeIsNamedWhereTheDefaultDoesNotFit) {
  const Expected<TrainConfig> loaded =
      load_train_config("", std::vector<std::string>{"model.feed_forward=172"}, "");
  ASSERT_FALSE(loaded);
  EXPECT_NE(to_string(loaded.error()).find("168 or 176, or numerics.tree = 4"), std::string::npos)
      << to_string(loaded.error());
}

}  // namespace
}  // namespace megalith
