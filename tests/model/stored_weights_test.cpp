// Weights that go from a checkpoint to where products read them, without a copy in between.

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "infer/generator.h"
#include "model/model_fixture.h"
#include "model/stored_parameters.h"

namespace megalith {
namespace {

namespace fs = std::filesystem;

// A checkpoint of a model's initial weights in /tmp, gone at the end; `leave_out` names a parameter.
class SavedModel {
 public:
  explicit SavedModel(const Parameters& parameters, const std::string& leave_out = "")
      : folder_(fs::temp_directory_path() / fmt::format("stored-weights-{}", ::getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    CheckpointWriter writer(folder_, 3);
    for (const Parameter& p : parameters.all()) {
      if (p.spec.name != leave_out) add_pieces(writer, "model." + p.spec.name, p, p.master);
    }
    CheckpointFacts facts;
    facts.step = 3;
    path_ = writer.finish(facts);
  }
  ~SavedModel() { fs::remove_all(folder_); }
  SavedModel(const SavedModel&) = delete;
  SavedModel& operator=(const SavedModel&) = delete;
  [[nodiscard]] Checkpoint open() const {
    Expected<Checkpoint> checkpoint = Checkpoint::open(path_);
    EXPECT_TRUE(checkpoint);
    return std::move(*checkpoint);
  }

 private:
  fs::path folder_, path_;
};

// Logits after a prompt and some tokens, by bits.
std::vector<std::uint32_t> answer(Device& device, const Transformer& transformer,
                                  const NumericsProfile& profile) {
  const std::vector<std::int32_t> prompt = {7, 60, 1, 0, 13};
  Generator generator(device, transformer, profile, 2);
  generator.prefill(prompt, 2);
  std::vector<std::uint32_t> bits;
  for (const std::int32_t id : {5, 59, 2}) {
    generator.decode(std::vector<std::int32_t>{id, id});
    for (const float logit : generator.logits(1)) bits.push_back(std::bit_cast<std::uint32_t>(logit));
  }
  return bits;
}

// A row too far, as a source that counts wrongly would give.
class OneRowOff final : public WeightSource {
 public:
  explicit OneRowOff(const WeightSource& source) : source_(source) {}
  void read_rows(const Parameter& p, std::int64_t first, const Tensor& to) const override {
    const bool last = first + to.rows() == p.spec.rows;
    source_.read_rows(p, first, to);
    if (!last) source_.read_rows(p, first + 1, to);
  }
  void rows_done(const Parameter&, std::int64_t, std::int64_t) const override {}

 private:
  const WeightSource& source_;
};

struct Loaded {
  Loaded(const ModelConfig& config, const NumericsProfile& profile, WeightFormat format,
         const WeightSource& source, int threads)
      : device(cpu::make_device(threads, cpu::available_isas().back())),
        parameters(Transformer::specs(config, profile), profile, Parameters::Use::inference),
        transformer(config, profile, parameters) {
    transformer.load_and_pack(*device, profile, format, source, parameters);
  }
  std::unique_ptr<Device> device;
  Parameters parameters;
  Transformer transformer;
};

TEST(StoredWeights, AnswerAsTheModelThatWasSaved) {
  for (const char* shape : test::kShapes) {
    for (const DType compute : {DType::f32, DType::bf16}) {
      const ModelConfig config = test::shaped_model(shape);
      const NumericsProfile profile = test::small_profile(compute, 32);
      test::Machine saved(config, profile, 1, 16);
      const SavedModel folder(saved.parameters);
      const Checkpoint checkpoint = folder.open();
      const Expected<StoredWeights> source = StoredWeights::of(checkpoint, saved.parameters);
      ASSERT_TRUE(source) << to_string(source.error());
      const std::vector<std::uint32_t> expected = answer(*saved.device, saved.transformer, profile);
      for (const int threads : {1, 3}) {
        const Loaded as_stored(config, profile, WeightFormat::as_stored, *source, threads);
        EXPECT_EQ(answer(*as_stored.device, as_stored.transformer, profile), expected) << shape;
      }
      const Loaded int8(config, profile, WeightFormat::q8_0, *source, 2);
      saved.transformer.pack(*saved.device, profile, WeightFormat::q8_0);
      EXPECT_EQ(answer(*int8.device, int8.transformer, profile),
                answer(*saved.device, saved.transformer, profile))
          << shape;
      const Loaded wrong(config, profile, WeightFormat::as_stored, OneRowOff(*source), 1);
      EXPECT_NE(answer(*wrong.device, wrong.transformer, profile), expected) << shape;
    }
  }
}

TEST(StoredWeights, NeverStandInTheMemoryOfParametersToo) {
  const ModelConfig config = test::shaped_model("gpt");
  const NumericsProfile profile = test::small_profile(DType::bf16, 32);
  const test::Machine saved(config, profile, 1, 16);
  const SavedModel folder(saved.parameters);
  const StoredWeights source = *StoredWeights::of(folder.open(), saved.parameters);
  const Loaded loaded(config, profile, WeightFormat::as_stored, source, 1);
  for (const char* packed : {"embedding.tokens", "layers.0.attention.qkv.weight"}) {
    for (const bf16 weight : loaded.parameters.named(packed).working.values<bf16>())
      ASSERT_EQ(weight.bits, 0) << packed;
  }
}

TEST(StoredWeights, AreRefusedWhereAParameterIsMissingOrOfAnotherShape) {
  const NumericsProfile profile = test::small_profile(DType::bf16, 32);
  const test::Machine saved(test::small_model(), profile, 1, 16);
  const auto refusal = [](const Checkpoint& checkpoint, const Parameters& parameters) {
    const Expected<StoredWeights> source = StoredWeights::of(checkpoint, parameters);
    return source ? "accepted" : to_string(source.error());
  };
  {
    const SavedModel folder(saved.parameters, "layers.1.attention.qkv.weight");
    const std::string message = refusal(folder.open(), saved.parameters);
    EXPECT_NE(message.find("model.layers.1.attention.qkv.weight\": found no such tensor"), std::string::npos)
        << message;
  }
  const SavedModel folder(saved.parameters);
  EXPECT_EQ(refusal(folder.open(), saved.parameters), "accepted");
  const Parameters larger(Transformer::specs(test::small_model(62), profile), profile,
                          Parameters::Use::inference);
  const std::string message = refusal(folder.open(), larger);
  EXPECT_NE(message.find("model.embedding.tokens"), std::string::npos) << message;
  EXPECT_NE(message.find("61"), std::string::npos) << message;
}

}  // namespace
}  // namespace megalith
