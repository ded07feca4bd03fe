#include "device/cuda/coverage.h"

#include <algorithm>

#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

constexpr OperationCoverage kCoverage[] = {
    {"forward product", true},
    {"input gradient product", true},
    {"weight gradient product", true},
    {"bias gradient", true},
    {"weight packing", false},
    {"packed weight rows", false},
    {"int8 weights", false},
    {"attention forward", false},
    {"attention backward", false},
    {"cached attention", false},
    {"cache append", false},
    {"norm forward", true},
    {"norm backward", true},
    {"activation forward", true},
    {"activation backward", true},
    {"head rotation forward", false},
    {"head rotation backward", false},
    {"bias, dropout and residual", false},
    {"dropout backward", false},
    {"embedding forward", false},
    {"embedding backward", false},
    {"logit softcap", false},
    {"cross entropy forward", false},
    {"cross entropy partial", false},
    {"cross entropy join", false},
    {"cross entropy backward", false},
    {"loss sum", false},
    {"squared norm", true},
    {"AdamW update", true},
    {"cast", true},
    {"parameter digest", true},
    {"zero", true},
    {"all finite", true},
    {"gradients in f32", false},
    {"tree sum", false},
    {"rank sum", false},
    {"row lookup", false},
    {"row select", false},
    {"column join", false},
    {"column split", false},
};

class AbsentAttention final : public AttentionOps {
 public:
  void forward(const AttentionForward&) override { throw_not_on_cuda("attention forward"); }
  void backward(const AttentionBackward&) override { throw_not_on_cuda("attention backward"); }
  void cached(const CachedAttention&) override { throw_not_on_cuda("cached attention"); }
  void append(const CacheAppend&) override { throw_not_on_cuda("cache append"); }
};

class AbsentLoss final : public LossOps {
 public:
  void cap(const SoftCap&) override { throw_not_on_cuda("logit softcap"); }
  void forward(const CrossEntropyForward&) override { throw_not_on_cuda("cross entropy forward"); }
  void partial(const CrossEntropyPartial&) override { throw_not_on_cuda("cross entropy partial"); }
  void join(const CrossEntropyJoin&) override { throw_not_on_cuda("cross entropy join"); }
  void backward(const CrossEntropyBackward&) override { throw_not_on_cuda("cross entropy backward"); }
  void sum(const LossSum&) override { throw_not_on_cuda("loss sum"); }
};

class AbsentShards final : public ShardOps {
 public:
  void sum(const TreeSum&) override { throw_not_on_cuda("tree sum"); }
  void rank_sum(const RankSum&) override { throw_not_on_cuda("rank sum"); }
  void lookup(const RowLookup&) override { throw_not_on_cuda("row lookup"); }
  void select(const RowSelect&) override { throw_not_on_cuda("row select"); }
  void join(const ColumnPieces&) override { throw_not_on_cuda("column join"); }
  void split(const ColumnPieces&) override { throw_not_on_cuda("column split"); }
};

}  // namespace

std::span<const OperationCoverage> coverage() {
  return kCoverage;
}

NotOnCuda::NotOnCuda(std::string_view operation)
    : WorldFailed(
          fmt::format("{} is not implemented on CUDA yet (docs/cuda.md lists what is); the CPU device has it",
                      operation)) {}

void throw_not_on_cuda(std::string_view operation) {
  const auto* entry = std::find_if(std::begin(kCoverage), std::end(kCoverage),
                                   [&](const OperationCoverage& c) { return c.operation == operation; });
  MEGALITH_CHECK(entry != std::end(kCoverage) && !entry->on_cuda, "{} in the table of coverage", operation);
  throw NotOnCuda(operation);
}

std::unique_ptr<AttentionOps> make_absent_attention() {
  return std::make_unique<AbsentAttention>();
}
std::unique_ptr<LossOps> make_absent_loss() {
  return std::make_unique<AbsentLoss>();
}
std::unique_ptr<ShardOps> make_absent_shards() {
  return std::make_unique<AbsentShards>();
}

}  // namespace megalith::cuda
