// The optimizer's operations: from tensors to kernels' arguments and plans.
#include <cmath>

#include "device/cuda/coverage.h"
#include "device/cuda/operations.h"

namespace megalith::cuda {
namespace {

constexpr int kWide = 4;  // elements of a thread: 16 bytes of fp32

double factor_of(const GradientScale& scale) {
  return std::ldexp(1.0, -scale.shift) / static_cast<double>(scale.divisor);
}

void check_dense(const char* operation, std::initializer_list<Tensor> tensors, std::int64_t count) {
  for (const Tensor& tensor : tensors) {
    MEGALITH_CHECK(tensor.empty() || (tensor.dense() && tensor.count() == count), "{}: {} of {} elements",
                   operation, describe(tensor), count);
  }
}

// Flat elements have no rows to align: the end is taken one by one.
int flat_width(std::initializer_list<Tensor> tensors) {
  for (Tensor tensor : tensors) {
    tensor.shape = {1, 1, 1, kWide};
    if (vector_width(kWide, kWide, {tensor}) == 1) return 1;
  }
  return kWide;
}

class Optimizer final : public OptimizerOps {
 public:
  explicit Optimizer(KernelLauncher& launcher) : launcher_(launcher) {}

  SquareSum squared_norm(const SquaredNorm& args) override {
    if (args.gradient.dtype != DType::i64) throw_not_on_cuda("gradients in f32");
    check_dense("squared norm", {args.gradient}, args.gradient.count());
    launcher_.launch(plan_sum(args.gradient.count(), launcher_.shape()),
                     SquaresArgs{.gradient = args.gradient.as<std::int64_t>(),
                                 .factor = factor_of(args.scale),
                                 .count = args.gradient.count(),
                                 .words = launcher_.clear_words()});
    SquareSum sum;
    sum.add_words(launcher_.fetch_words());
    return sum;
  }

  void update(const AdamUpdate& args) override {
    if (args.gradient.dtype != DType::i64) throw_not_on_cuda("gradients in f32");
    check_dense("AdamW", {args.gradient, args.master, args.m, args.v, args.working}, args.gradient.count());
    if (args.gradient.count() == 0) return;
    if (!args.working.empty() && args.working.dtype == DType::bf16) {
      update_typed<bf16>(args);
    } else {
      update_typed<float>(args);
    }
  }

  void cast(const Cast& args) override {
    check_dense("cast", {args.from, args.to}, args.from.count());
    if (args.from.count() == 0) return;
    if (args.to.dtype == DType::f32) {
      launcher_.copy(args.to.as<float>(), args.from.as<float>(),
                     static_cast<std::size_t>(args.from.count()) * sizeof(float));
      return;
    }
    const int vector = flat_width({args.from, args.to});
    launcher_.launch(
        plan_elements(args.from.count(), vector), vector,
        CastArgs{.from = args.from.as<float>(), .count = args.from.count(), .to = args.to.as<bf16>()});
  }

  std::uint64_t digest(const Tensor& values, std::uint64_t first_index, std::int64_t index_stride) override {
    if (values.rows() > 1 && !(values.dense() && index_stride == values.columns())) {
      std::uint64_t sum = 0;
      for (std::int64_t r = 0; r < values.rows(); ++r) {
        const std::uint64_t first = first_index + static_cast<std::uint64_t>(r * index_stride);
        sum += digest(values.row_slice(r, 1), first, values.columns());
      }
      return sum;
    }
    check_dense("digest", {values}, values.count());
    launcher_.launch(plan_sum(values.count(), launcher_.shape()), DigestArgs{.values = values.as<float>(),
                                                                             .count = values.count(),
                                                                             .first_index = first_index,
                                                                             .sum = launcher_.clear_words()});
    return launcher_.fetch_words()[0];
  }

  void zero(const Tensor& tensor) override {
    check_dense("zero", {tensor}, tensor.count());
    launcher_.zero(tensor.data, static_cast<std::size_t>(tensor.count()) * size_of(tensor.dtype));
  }

  bool all_finite(const Tensor& tensor) override {
    if (tensor.count() == 0) return true;
    Verdict verdict;
    with_float_type(tensor.dtype, [&]<class T>(T) {
      launcher_.launch(plan_stretches(tensor.rows(), tensor.columns(), 1, launcher_.shape()),
                       FiniteArgs<T>{.values = tensor.as<T>(),
                                     .stride = tensor.row_stride,
                                     .rows = tensor.rows(),
                                     .columns = tensor.columns(),
                                     .bad = launcher_.flag_of(&verdict)});
    });
    launcher_.fetch_words();  // waits, and settles the verdict
    return !verdict.bad();
  }

 private:
  template <class W>
  void update_typed(const AdamUpdate& args) {
    const int vector = flat_width({args.gradient, args.master, args.m, args.v, args.working});
    launcher_.launch(plan_elements(args.gradient.count(), vector), vector,
                     AdamArgs<W>{.gradient = args.gradient.as<std::int64_t>(),
                                 .scalars = {.factor = factor_of(args.scale),
                                             .clip = args.clip,
                                             .rate = args.rate,
                                             .beta1 = args.beta1,
                                             .beta2 = args.beta2,
                                             .epsilon = args.epsilon,
                                             .decay = args.decay,
                                             .bias_correction1 = args.bias_correction1,
                                             .bias_correction2 = args.bias_correction2},
                                 .count = args.gradient.count(),
                                 .master = args.master.as<float>(),
                                 .m = args.m.as<float>(),
                                 .v = args.v.as<float>(),
                                 .working = args.working.empty() ? nullptr : args.working.as<W>()});
  }

  KernelLauncher& launcher_;
};

}  // namespace

std::unique_ptr<OptimizerOps> make_optimizer(KernelLauncher& launcher) {
  return std::make_unique<Optimizer>(launcher);
}

}  // namespace megalith::cuda
