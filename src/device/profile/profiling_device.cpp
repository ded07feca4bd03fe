#include "device/profile/profiling_device.h"

#include <type_traits>

#include "device/profile/operation_labels.h"

namespace megalith::profile {
namespace {

// Calls something and records what it took; returns what it returned. Operations do not throw.
template <class Call>
auto timed(OperationLog& log, const OperationLabel& label, const Cost& cost, const Call& call) {
  const Clock::time_point begin = Clock::now();
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    log.record(label, cost, begin, Clock::now());
  } else {
    const auto result = call();
    log.record(label, cost, begin, Clock::now());
    return result;
  }
}

template <class Ops>
class Timed : public Ops {
 public:
  Timed(Ops& inner, OperationLog& log) : inner_(inner), log_(log) {}

 protected:
  template <class Operation>
  void pass(void (Ops::*call)(const Operation&), const Operation& operation) {
    const Clock::time_point begin = Clock::now();
    (inner_.*call)(operation);
    log_.record(label_of(operation), cost_of(operation), begin, Clock::now());
  }
  Ops& inner_;
  OperationLog& log_;
};

class ProfilingMatmul final : public Timed<MatmulOps> {
 public:
  using Timed::Timed;
  void forward(const ForwardProduct& a) override { pass(&MatmulOps::forward, a); }
  void input_gradient(const InputGradientProduct& a) override { pass(&MatmulOps::input_gradient, a); }
  void weight_gradient(const WeightGradientProduct& a) override { pass(&MatmulOps::weight_gradient, a); }
  void bias_gradient(const BiasGradient& a) override { pass(&MatmulOps::bias_gradient, a); }
  std::size_t packed_bytes(const Tensor& w, const SumOrder& order, WeightFormat format) override {
    return inner_.packed_bytes(w, order, format);
  }
  void pack(const WeightPacking& a) override { inner_.pack(a); }
  void unpack(const WeightRows& a) override { inner_.unpack(a); }
};

class ProfilingAttention final : public Timed<AttentionOps> {
 public:
  using Timed::Timed;
  void forward(const AttentionForward& a) override { pass(&AttentionOps::forward, a); }
  void backward(const AttentionBackward& a) override { pass(&AttentionOps::backward, a); }
  void cached(const CachedAttention& a) override { pass(&AttentionOps::cached, a); }
  void append(const CacheAppend& a) override { pass(&AttentionOps::append, a); }
};

class ProfilingElementwise final : public Timed<ElementwiseOps> {
 public:
  using Timed::Timed;
  void forward(const NormForward& a) override { pass(&ElementwiseOps::forward, a); }
  void backward(const NormBackward& a) override { pass(&ElementwiseOps::backward, a); }
  void forward(const ActivationForward& a) override { pass(&ElementwiseOps::forward, a); }
  void backward(const ActivationBackward& a) override { pass(&ElementwiseOps::backward, a); }
  void forward(const HeadRotationForward& a) override { pass(&ElementwiseOps::forward, a); }
  void backward(const HeadRotationBackward& a) override { pass(&ElementwiseOps::backward, a); }
  void forward(const BiasDropoutResidual& a) override { pass(&ElementwiseOps::forward, a); }
  void backward(const DropoutBackward& a) override { pass(&ElementwiseOps::backward, a); }
  void forward(const EmbeddingForward& a) override { pass(&ElementwiseOps::forward, a); }
  void backward(const EmbeddingBackward& a) override { pass(&ElementwiseOps::backward, a); }
};

class ProfilingLoss final : public Timed<LossOps> {
 public:
  using Timed::Timed;
  void cap(const SoftCap& a) override { pass(&LossOps::cap, a); }
  void forward(const CrossEntropyForward& a) override { pass(&LossOps::forward, a); }
  void partial(const CrossEntropyPartial& a) override { pass(&LossOps::partial, a); }
  void join(const CrossEntropyJoin& a) override { pass(&LossOps::join, a); }
  void backward(const CrossEntropyBackward& a) override { pass(&LossOps::backward, a); }
  void sum(const LossSum& a) override { pass(&LossOps::sum, a); }
};

class ProfilingOptimizer final : public Timed<OptimizerOps> {
 public:
  using Timed::Timed;
  SquareSum squared_norm(const SquaredNorm& a) override {
    return timed(log_, label_of(a), cost_of(a), [&] { return inner_.squared_norm(a); });
  }
  void update(const AdamUpdate& a) override { pass(&OptimizerOps::update, a); }
  void cast(const Cast& a) override { pass(&OptimizerOps::cast, a); }
  std::uint64_t digest(const Tensor& values, std::uint64_t first_index, std::int64_t index_stride) override {
    return timed(log_, count_label("digest", values), cost_of_digest(values),
                 [&] { return inner_.digest(values, first_index, index_stride); });
  }
  void zero(const Tensor& tensor) override {
    timed(log_, count_label("zero", tensor), cost_of_zero(tensor), [&] { inner_.zero(tensor); });
  }
  bool all_finite(const Tensor& tensor) override {
    return timed(log_, matrix_label("finite check", tensor), cost_of_finite_check(tensor),
                 [&] { return inner_.all_finite(tensor); });
  }
};

class ProfilingShards final : public Timed<ShardOps> {
 public:
  using Timed::Timed;
  void sum(const TreeSum& a) override { pass(&ShardOps::sum, a); }
  void rank_sum(const RankSum& a) override { pass(&ShardOps::rank_sum, a); }
  void lookup(const RowLookup& a) override { pass(&ShardOps::lookup, a); }
  void select(const RowSelect& a) override { pass(&ShardOps::select, a); }
  void join(const ColumnPieces& a) override { pass(&ShardOps::join, a); }
  void split(const ColumnPieces& a) override { pass(&ShardOps::split, a); }
};

class ProfilingDevice final : public Device {
 public:
  ProfilingDevice(Device& inner, OperationLog& log)
      : inner_(inner),
        matmul_(inner.matmul(), log),
        attention_(inner.attention(), log),
        elementwise_(inner.elementwise(), log),
        loss_(inner.loss(), log),
        optimizer_(inner.optimizer(), log),
        shards_(inner.shards(), log) {}

  MatmulOps& matmul() override { return matmul_; }
  AttentionOps& attention() override { return attention_; }
  ElementwiseOps& elementwise() override { return elementwise_; }
  LossOps& loss() override { return loss_; }
  OptimizerOps& optimizer() override { return optimizer_; }
  ShardOps& shards() override { return shards_; }
  ArenaMemory& memory() override { return inner_.memory(); }
  [[nodiscard]] std::string description() const override { return inner_.description(); }
  [[nodiscard]] int num_threads() const override { return inner_.num_threads(); }
  double peak_flops(DType dtype) override { return inner_.peak_flops(dtype); }
  double copy_bandwidth() override { return inner_.copy_bandwidth(); }

 private:
  Device& inner_;
  ProfilingMatmul matmul_;
  ProfilingAttention attention_;
  ProfilingElementwise elementwise_;
  ProfilingLoss loss_;
  ProfilingOptimizer optimizer_;
  ProfilingShards shards_;
};

}  // namespace

std::unique_ptr<Device> make_profiling_device(Device& inner, OperationLog& log) {
  return std::make_unique<ProfilingDevice>(inner, log);
}

}  // namespace megalith::profile
