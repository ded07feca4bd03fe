// The optimizer's operations on the CPU: elementwise passes cut into chunks; integer sums, so chunks may be
// any.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/cpu/optimizer/optimizer_kernels.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kChunk = 1 << 14;        // elements of one task
constexpr std::int64_t kSquaresPerFold = 1024;  // what the 64-bit limbs hold without overflow

OptimizerKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512 || isa == Isa::avx512_bf16) return optimizer_kernels_avx512();
  if (isa == Isa::avx2) return optimizer_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return optimizer_kernels_portable();
}

double factor_of(const Tensor& gradient, const GradientScale& scale) {
  const int places = gradient.dtype == DType::i64 ? scale.shift : 0;
  return std::ldexp(1.0, -places) / static_cast<double>(scale.divisor);
}

class CpuOptimizer final : public OptimizerOps {
 public:
  CpuOptimizer(ThreadPool& pool, Isa isa)
      : pool_(pool),
        kernels_(kernels_of(isa)),
        squares_(static_cast<std::size_t>(pool.num_threads())),
        sums_(static_cast<std::size_t>(pool.num_threads())) {}

  SquareSum squared_norm(const SquaredNorm& args) override {
    const double factor = factor_of(args.gradient, args.scale);
    const bool floats = args.gradient.dtype == DType::f32;
    std::fill(squares_.begin(), squares_.end(), SquareSum{});
    pool_.for_range(args.gradient.count(), kChunk, [&](std::int64_t begin, std::int64_t end, int thread) {
      SquareSum& sum = squares_[static_cast<std::size_t>(thread)];
      for (std::int64_t i = begin; i < end; i += kSquaresPerFold) {
        const std::int64_t count = std::min(kSquaresPerFold, end - i);
        if (floats) {
          sum.add_rounded(kernels_.squares_f32(args.gradient.as<float>() + i, factor, count));
        } else {
          const SquareLimbs limbs = kernels_.squares(args.gradient.as<std::int64_t>() + i, factor, count);
          sum.add_limbs(limbs.high, limbs.low);
        }
      }
    });
    SquareSum total;
    for (const SquareSum& part : squares_) total.add(part);
    return total;
  }

  void update(const AdamUpdate& args) override {
    const AdamScalars scalars{.factor = factor_of(args.gradient, args.scale),
                              .clip = args.clip,
                              .rate = args.rate,
                              .beta1 = args.beta1,
                              .beta2 = args.beta2,
                              .epsilon = args.epsilon,
                              .decay = args.decay,
                              .bias_correction1 = args.bias_correction1,
                              .bias_correction2 = args.bias_correction2};
    bf16* working_bf16 = nullptr;
    float* working_f32 = nullptr;
    if (!args.working.empty() && args.working.dtype == DType::bf16) working_bf16 = args.working.as<bf16>();
    if (!args.working.empty() && args.working.dtype == DType::f32) working_f32 = args.working.as<float>();
    pool_.for_range(args.gradient.count(), kChunk, [&](std::int64_t begin, std::int64_t end, int) {
      const auto step = [&](auto kernel, const auto* gradient) {
        kernel(gradient + begin, scalars, end - begin, args.master.as<float>() + begin,
               args.m.as<float>() + begin, args.v.as<float>() + begin,
               working_bf16 == nullptr ? nullptr : working_bf16 + begin,
               working_f32 == nullptr ? nullptr : working_f32 + begin);
      };
      if (args.gradient.dtype == DType::f32) {
        step(kernels_.adam_f32, args.gradient.as<float>());
      } else {
        step(kernels_.adam, args.gradient.as<std::int64_t>());
      }
    });
  }

  void cast(const Cast& args) override {
    MEGALITH_CHECK(args.from.count() == args.to.count(), "{} to {}", describe(args.from), describe(args.to));
    const float* from = args.from.as<float>();
    pool_.for_range(args.from.count(), kChunk, [&](std::int64_t begin, std::int64_t end, int) {
      if (args.to.dtype == DType::bf16) {
        kernels_.cast_bf16(from + begin, end - begin, args.to.as<bf16>() + begin);
      } else {
        std::copy(from + begin, from + end, args.to.as<float>() + begin);
      }
    });
  }

  std::uint64_t digest(const Tensor& values, std::uint64_t first_index, std::int64_t index_stride) override {
    std::fill(sums_.begin(), sums_.end(), 0);
    if (values.dense() && (index_stride == values.columns() || values.rows() == 1)) {
      const float* from = values.as<float>();
      pool_.for_range(values.count(), kChunk, [&](std::int64_t begin, std::int64_t end, int thread) {
        sums_[static_cast<std::size_t>(thread)] +=
            kernels_.digest(from + begin, first_index + static_cast<std::uint64_t>(begin), end - begin);
      });
    } else {
      const std::int64_t rows =
          std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, values.columns()));
      pool_.for_range(values.rows(), rows, [&](std::int64_t begin, std::int64_t end, int thread) {
        for (std::int64_t r = begin; r < end; ++r) {
          sums_[static_cast<std::size_t>(thread)] +=
              kernels_.digest(values.row<float>(r),
                              first_index + static_cast<std::uint64_t>(r * index_stride), values.columns());
        }
      });
    }
    std::uint64_t total = 0;
    for (const std::uint64_t part : sums_) total += part;
    return total;
  }

  void zero(const Tensor& tensor) override {
    MEGALITH_CHECK(tensor.dense(), "{} is not dense", describe(tensor));
    const auto bytes =
        static_cast<std::int64_t>(static_cast<std::size_t>(tensor.count()) * size_of(tensor.dtype));
    pool_.for_range(bytes, 1 << 18, [&](std::int64_t begin, std::int64_t end, int) {
      std::memset(static_cast<char*>(tensor.data) + begin, 0, static_cast<std::size_t>(end - begin));
    });
  }

  bool all_finite(const Tensor& tensor) override {
    std::atomic<bool> finite{true};
    with_float_type(tensor.dtype, [&]<class T>(T) {
      pool_.for_range(tensor.rows(), 16, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) {
          bool row = true;
          if constexpr (std::is_same_v<T, bf16>) {
            row = kernels_.finite_bf16(tensor.row<T>(r), tensor.columns());
          } else {
            row = kernels_.finite_f32(tensor.row<T>(r), tensor.columns());
          }
          if (!row) finite.store(false, std::memory_order_relaxed);
        }
      });
    });
    return finite.load();
  }

 private:
  ThreadPool& pool_;
  OptimizerKernels kernels_;
  std::vector<SquareSum> squares_;   // one per thread
  std::vector<std::uint64_t> sums_;  // one per thread
};

}  // namespace

std::unique_ptr<OptimizerOps> make_optimizer(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuOptimizer>(pool, isa);
}

}  // namespace megalith::cpu
