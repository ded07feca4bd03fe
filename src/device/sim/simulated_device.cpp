#include "device/sim/simulated_device.h"

namespace megalith::sim {
namespace {

// One meter for all families of operations.
class Meter {
 public:
  template <class Operation>
  void add(const Operation& operation) {
    add(cost_of(operation));
  }
  void add(const Cost& cost) {
    total_.flops += cost.flops;
    total_.bytes += cost.bytes;
  }
  [[nodiscard]] Cost total() const { return total_; }

 private:
  Cost total_;
};

class SimulatedMatmul final : public MatmulOps {
 public:
  explicit SimulatedMatmul(Meter& meter) : meter_(meter) {}
  void forward(const ForwardProduct& operation) override { meter_.add(operation); }
  void input_gradient(const InputGradientProduct& operation) override { meter_.add(operation); }
  void weight_gradient(const WeightGradientProduct& operation) override { meter_.add(operation); }
  void bias_gradient(const BiasGradient& operation) override { meter_.add(operation); }

 private:
  Meter& meter_;
};

class SimulatedAttention final : public AttentionOps {
 public:
  explicit SimulatedAttention(Meter& meter) : meter_(meter) {}
  void forward(const AttentionForward& operation) override { meter_.add(operation); }
  void backward(const AttentionBackward& operation) override { meter_.add(operation); }
  void cached(const CachedAttention& operation) override { meter_.add(operation); }
  void append(const CacheAppend& operation) override { meter_.add(operation); }

 private:
  Meter& meter_;
};

class SimulatedElementwise final : public ElementwiseOps {
 public:
  explicit SimulatedElementwise(Meter& meter) : meter_(meter) {}
  void forward(const NormForward& operation) override { meter_.add(operation); }
  void backward(const NormBackward& operation) override { meter_.add(operation); }
  void forward(const ActivationForward& operation) override { meter_.add(operation); }
  void backward(const ActivationBackward& operation) override { meter_.add(operation); }
  void forward(const HeadRotationForward& operation) override { meter_.add(operation); }
  void backward(const HeadRotationBackward& operation) override { meter_.add(operation); }
  void forward(const BiasDropoutResidual& operation) override { meter_.add(operation); }
  void backward(const DropoutBackward& operation) override { meter_.add(operation); }
  void forward(const EmbeddingForward& operation) override { meter_.add(operation); }
  void backward(const EmbeddingBackward& operation) override { meter_.add(operation); }

 private:
  Meter& meter_;
};

class SimulatedLoss final : public LossOps {
 public:
  explicit SimulatedLoss(Meter& meter) : meter_(meter) {}
  void cap(const SoftCap& operation) override { meter_.add(operation); }
  void forward(const CrossEntropyForward& operation) override { meter_.add(operation); }
  void partial(const CrossEntropyPartial& operation) override { meter_.add(operation); }
  void join(const CrossEntropyJoin& operation) override { meter_.add(operation); }
  void backward(const CrossEntropyBackward& operation) override { meter_.add(operation); }
  void sum(const LossSum& operation) override { meter_.add(operation); }

 private:
  Meter& meter_;
};

class SimulatedOptimizer final : public OptimizerOps {
 public:
  explicit SimulatedOptimizer(Meter& meter) : meter_(meter) {}
  SquareSum squared_norm(const SquaredNorm& operation) override {
    meter_.add(operation);
    return {};
  }
  void update(const AdamUpdate& operation) override { meter_.add(operation); }
  void cast(const Cast& operation) override { meter_.add(operation); }
  std::uint64_t digest(const Tensor& values, std::uint64_t, std::int64_t) override {
    meter_.add(cost_of_digest(values));
    return 0;
  }
  void zero(const Tensor& tensor) override { meter_.add(cost_of_zero(tensor)); }
  bool all_finite(const Tensor& tensor) override {
    meter_.add(cost_of_finite_check(tensor));
    return true;
  }

 private:
  Meter& meter_;
};

class SimulatedShards final : public ShardOps {
 public:
  explicit SimulatedShards(Meter& meter) : meter_(meter) {}
  void sum(const TreeSum& operation) override { meter_.add(operation); }
  void rank_sum(const RankSum& operation) override { meter_.add(operation); }
  void lookup(const RowLookup& operation) override { meter_.add(operation); }
  void select(const RowSelect& operation) override { meter_.add(operation); }
  void join(const ColumnPieces& operation) override { meter_.add(operation); }
  void split(const ColumnPieces& operation) override { meter_.add(operation); }

 private:
  Meter& meter_;
};

class Simulated final : public SimulatedDevice {
 public:
  MatmulOps& matmul() override { return matmul_; }
  AttentionOps& attention() override { return attention_; }
  ElementwiseOps& elementwise() override { return elementwise_; }
  LossOps& loss() override { return loss_; }
  OptimizerOps& optimizer() override { return optimizer_; }
  ShardOps& shards() override { return shards_; }
  [[nodiscard]] std::string description() const override { return "simulated"; }
  [[nodiscard]] int num_threads() const override { return 1; }
  double peak_flops(DType) override { return 0; }
  [[nodiscard]] Cost total() const override { return meter_.total(); }

 private:
  Meter meter_;
  SimulatedMatmul matmul_{meter_};
  SimulatedAttention attention_{meter_};
  SimulatedElementwise elementwise_{meter_};
  SimulatedLoss loss_{meter_};
  SimulatedOptimizer optimizer_{meter_};
  SimulatedShards shards_{meter_};
};

}  // namespace

std::unique_ptr<SimulatedDevice> make_device() {
  return std::make_unique<Simulated>();
}

}  // namespace megalith::sim
