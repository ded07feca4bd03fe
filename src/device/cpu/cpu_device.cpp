#include "device/cpu/cpu_device.h"

#include "device/cpu/peak/peak.h"

namespace megalith::cpu {
namespace {

class CpuDevice final : public Device {
 public:
  CpuDevice(int num_threads, Isa isa)
      : isa_(isa),
        pool_(num_threads),
        matmul_(make_matmul(pool_, isa)),
        attention_(make_attention(pool_, isa)),
        elementwise_(make_elementwise(pool_, isa)),
        loss_(make_loss(pool_, isa)),
        optimizer_(make_optimizer(pool_, isa)),
        shards_(make_shards(pool_, isa)) {}

  MatmulOps& matmul() override { return *matmul_; }
  AttentionOps& attention() override { return *attention_; }
  ElementwiseOps& elementwise() override { return *elementwise_; }
  LossOps& loss() override { return *loss_; }
  OptimizerOps& optimizer() override { return *optimizer_; }
  ShardOps& shards() override { return *shards_; }
  [[nodiscard]] int num_threads() const override { return pool_.num_threads(); }
  double peak_flops(DType dtype) override {
    double& peak = dtype == DType::bf16 ? peak_bf16_ : peak_f32_;
    if (peak == 0) peak = measure_peak_flops(pool_, isa_, dtype);
    return peak;
  }
  double copy_bandwidth() override {
    if (copy_bandwidth_ == 0) copy_bandwidth_ = measure_copy_bandwidth(pool_, isa_);
    return copy_bandwidth_;
  }
  [[nodiscard]] std::string description() const override {
    return fmt::format("CPU, {} thread{}, {} kernels", num_threads(), num_threads() == 1 ? "" : "s",
                       name_of(isa_));
  }

 private:
  Isa isa_;
  double peak_bf16_ = 0;
  double peak_f32_ = 0;
  double copy_bandwidth_ = 0;
  ThreadPool pool_;
  std::unique_ptr<MatmulOps> matmul_;
  std::unique_ptr<AttentionOps> attention_;
  std::unique_ptr<ElementwiseOps> elementwise_;
  std::unique_ptr<LossOps> loss_;
  std::unique_ptr<OptimizerOps> optimizer_;
  std::unique_ptr<ShardOps> shards_;
};

}  // namespace

std::unique_ptr<Device> make_device(int num_threads, Isa isa) {
  return std::make_unique<CpuDevice>(num_threads, isa);
}

}  // namespace megalith::cpu
