// What does not exist on CUDA says so by name; the page that lists it agrees with the table.

#include "device/cuda/coverage.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "device/cuda/cuda_device.h"
#include "device/cuda/emulated_launcher.h"
#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const NotOnCuda& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Coverage, EveryMissingOperationThrowsItsName) {
  test::EmulatedLauncher launcher;
  const auto attention = make_absent_attention();
  const auto loss = make_absent_loss();
  const auto shards = make_absent_shards();
  const auto elementwise = make_elementwise(launcher);
  const auto matmul = make_matmul(launcher, ProductMode::fast);
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"weight packing", [&] { matmul->pack(WeightPacking{}); }},
      {"packed weight rows", [&] { matmul->unpack(WeightRows{}); }},
      {"int8 weights", [&] { matmul->packed_bytes(Tensor{}, SumOrder{}, WeightFormat::q8_0); }},
      {"attention forward", [&] { attention->forward(AttentionForward{}); }},
      {"attention backward", [&] { attention->backward(AttentionBackward{}); }},
      {"cached attention", [&] { attention->cached(CachedAttention{}); }},
      {"cache append", [&] { attention->append(CacheAppend{}); }},
      {"head rotation forward", [&] { elementwise->forward(HeadRotationForward{}); }},
      {"head rotation backward", [&] { elementwise->backward(HeadRotationBackward{}); }},
      {"bias, dropout and residual", [&] { elementwise->forward(BiasDropoutResidual{}); }},
      {"dropout backward", [&] { elementwise->backward(DropoutBackward{}); }},
      {"embedding forward", [&] { elementwise->forward(EmbeddingForward{}); }},
      {"embedding backward", [&] { elementwise->backward(EmbeddingBackward{}); }},
      {"logit softcap", [&] { loss->cap(SoftCap{}); }},
      {"cross entropy forward", [&] { loss->forward(CrossEntropyForward{}); }},
      {"cross entropy partial", [&] { loss->partial(CrossEntropyPartial{}); }},
      {"cross entropy join", [&] { loss->join(CrossEntropyJoin{}); }},
      {"cross entropy backward", [&] { loss->backward(CrossEntropyBackward{}); }},
      {"loss sum", [&] { loss->sum(LossSum{}); }},
      {"gradients in f32", [&] { matmul->weight_gradient({.dw = Tensor(nullptr, DType::f32, {1})}); }},
      {"tree sum", [&] { shards->sum(TreeSum{}); }},
      {"rank sum", [&] { shards->rank_sum(RankSum{}); }},
      {"row lookup", [&] { shards->lookup(RowLookup{}); }},
      {"row select", [&] { shards->select(RowSelect{}); }},
      {"column join", [&] { shards->join(ColumnPieces{}); }},
      {"column split", [&] { shards->split(ColumnPieces{}); }},
  };
  std::size_t missing = 0;
  for (const OperationCoverage& operation : coverage()) missing += operation.on_cuda ? 0 : 1;
  EXPECT_EQ(std::size(calls), missing) << "every missing operation stands above";
  for (const auto& [name, call] : calls) {
    const std::string message = message_of(call);
    EXPECT_NE(message.find(std::string(name) + " is not implemented on CUDA yet"), std::string::npos)
        << message;
  }
}

// Generation asks first, and then leaves packing alone.
TEST(Coverage, WeightsThatCannotBePackedHaveNoPackedForm) {
  test::EmulatedLauncher launcher;
  EXPECT_EQ(
      make_matmul(launcher, ProductMode::fast)->packed_bytes(Tensor{}, SumOrder{}, WeightFormat::as_stored),
      0u);
}

// docs/cuda.md has one line of its table per operation: | operation | exists: yes or no | ...
TEST(Coverage, StandsInTheDocumentation) {
  std::ifstream file(MEGALITH_SOURCE_DIR "/docs/cuda.md");
  std::stringstream page;
  page << file.rdbuf();
  for (const OperationCoverage& operation : coverage()) {
    const std::string line =
        fmt::format("| {} | {} |", operation.operation, operation.on_cuda ? "yes" : "not yet");
    EXPECT_NE(page.str().find(line), std::string::npos) << line;
  }
}

TEST(Availability, TellsEitherADeviceOrWhyThereIsNone) {
  const Availability here = availability();
  EXPECT_EQ(here.compiled, !here.toolkit.empty());
  if (here.why_not.empty()) {
    EXPECT_FALSE(here.devices.empty());
    return;
  }
  const auto device = make_device();
  ASSERT_FALSE(device.has_value());
  EXPECT_NE(to_string(device.error()).find(here.why_not), std::string::npos) << to_string(device.error());
}

}  // namespace
}  // namespace megalith::cuda
