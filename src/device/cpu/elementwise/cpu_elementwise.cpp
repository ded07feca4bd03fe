// Element-wise operations on the CPU: shapes, threads and dropout masks; the arithmetic is in
// elementwise_kernels.h.

#include <algorithm>
#include <bit>
#include <vector>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 16;
constexpr std::int64_t kBlockRows = 32;  // of gain and bias gradients (docs/numerics.md)

template <class T>
ElementwiseKernels<T> kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512 || isa == Isa::avx512_bf16) return elementwise_kernels_avx512<T>();
  if (isa == Isa::avx2) return elementwise_kernels_avx2<T>();
#else
  static_cast<void>(isa);
#endif
  return elementwise_kernels_portable<T>();
}

float power_of_two(int exponent) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

// The multipliers of features [begin, end) of token t: 0 where dropped, else the scale. begin is a multiple
// of 8.
void fill_multipliers(const Dropout& dropout, std::int64_t t, std::int64_t begin, std::int64_t end,
                      float* out) {
  const std::int64_t sample = dropout.samples[t / dropout.sequence];
  const auto position = static_cast<std::uint32_t>(t % dropout.sequence);
  const float scale = dropout.scale();
  for (std::int64_t j = begin; j < end; j += 8) {
    const PhiloxCounter block = dropout_block(dropout, sample, position, static_cast<std::uint32_t>(j / 8));
    for (std::int64_t e = 0; e < std::min<std::int64_t>(8, end - j); ++e) {
      out[j - begin + e] =
          dropout_bits(block, static_cast<std::uint32_t>(e)) < dropout.threshold ? 0.0f : scale;
    }
  }
}

void check_same(const char* operation, const Tensor& a, const Tensor& b) {
  MEGALITH_CHECK(a.rows() == b.rows() && a.columns() == b.columns(), "{}: {} and {}", operation, describe(a),
                 describe(b));
}

class CpuElementwise final : public ElementwiseOps {
 public:
  CpuElementwise(ThreadPool& pool, Isa isa)
      : pool_(pool),
        f32_(kernels_of<float>(isa)),
        bf16_(kernels_of<bf16>(isa)),
        scratch_(static_cast<std::size_t>(pool.num_threads())) {}

  void forward(const LayerNormForward& args) override {
    check_same("layer norm", args.x, args.y);
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x.rows(), [&](std::int64_t r, int) {
        kernels.norm_forward(args.x.row<T>(r), args.gain.as<float>(), floats_or_null(args.bias), args.epsilon,
                             args.x.columns(), args.y.row<T>(r), args.mean.as<float>() + r,
                             args.rstd.as<float>() + r);
      });
    });
  }

  void backward(const LayerNormBackward& args) override {
    check_same("layer norm backward", args.dy, args.x);
    check_same("layer norm backward", args.dy, args.dx);
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      norm_gradients(args, kernels);
      for_rows(args.x.rows(), [&](std::int64_t r, int) {
        const T* residual = args.residual_gradient.empty() ? nullptr : args.residual_gradient.row<T>(r);
        kernels.norm_backward(args.dy.row<T>(r), args.x.row<T>(r), args.mean.as<float>()[r],
                              args.rstd.as<float>()[r], args.gain.as<float>(), residual, args.x.columns(),
                              args.dx.row<T>(r));
      });
    });
  }

  void forward(const ActivationForward& args) override {
    check_same("activation", args.x, args.y);
    const bool use_erf = args.activation == Activation::gelu_erf;
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x.rows(), [&](std::int64_t r, int) {
        kernels.gelu_forward(use_erf, args.x.row<T>(r), args.x.columns(), args.y.row<T>(r));
      });
    });
  }

  void backward(const ActivationBackward& args) override {
    check_same("activation backward", args.x, args.dy);
    check_same("activation backward", args.x, args.dx);
    const bool use_erf = args.activation == Activation::gelu_erf;
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x.rows(), [&](std::int64_t r, int) {
        if (args.dy.dtype == DType::f32) {
          kernels.gelu_backward_f32(use_erf, args.x.row<T>(r), args.dy.row<float>(r), args.x.columns(),
                                    args.dx.row<T>(r));
        } else {
          kernels.gelu_backward(use_erf, args.x.row<T>(r), args.dy.row<T>(r), args.x.columns(),
                                args.dx.row<T>(r));
        }
      });
    });
  }

  void forward(const BiasDropoutResidual& args) override {
    check_same("residual", args.x, args.residual);
    check_same("residual", args.x, args.y);
    with_kernels(args.y.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x.rows(), [&](std::int64_t r, int thread) {
        kernels.bias_dropout_residual(
            args.x.row<float>(r), floats_or_null(args.bias), args.residual.row<T>(r),
            multipliers(args.dropout, r, args.x.columns(), thread), args.x.columns(), args.y.row<T>(r));
      });
    });
  }

  void backward(const DropoutBackward& args) override {
    check_same("dropout backward", args.dy, args.dx);
    MEGALITH_CHECK(args.dropout.active(), "backward of a dropout that is off");
    with_kernels(args.dy.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.dy.rows(), [&](std::int64_t r, int thread) {
        kernels.dropout_backward(args.dy.row<T>(r), multipliers(args.dropout, r, args.dy.columns(), thread),
                                 args.dy.columns(), args.dx.row<T>(r));
      });
    });
  }

  void forward(const EmbeddingForward& args) override {
    with_kernels(args.y.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.y.rows(), [&](std::int64_t r, int thread) {
        const T* position =
            args.position_table.empty() ? nullptr : args.position_table.row<T>(args.positions[r]);
        kernels.embed(args.token_table.row<T>(args.ids[r]), position,
                      multipliers(args.dropout, r, args.y.columns(), thread), args.y.columns(),
                      args.y.row<T>(r));
      });
    });
  }

  // Threads divide the features, so two tokens with one id never meet.
  void backward(const EmbeddingBackward& args) override {
    constexpr std::int64_t kColumns = 64;
    const float scale = power_of_two(args.shift);
    const std::uint32_t limit = contribution_limit_bits(1);
    with_kernels(args.dy.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      reserve(kColumns);
      pool_.for_range(args.dy.columns(), kColumns, [&](std::int64_t begin, std::int64_t end, int thread) {
        std::uint32_t greatest = 0;
        float* mask = args.dropout.active() ? scratch(thread) : nullptr;
        for (std::int64_t t = 0; t < args.dy.rows(); ++t) {
          if (mask != nullptr) fill_multipliers(args.dropout, t, begin, end, mask);
          std::int64_t* token = args.dtoken_table.row<std::int64_t>(args.ids[t]) + begin;
          std::int64_t* position = args.dposition_table.empty()
                                       ? nullptr
                                       : args.dposition_table.row<std::int64_t>(args.positions[t]) + begin;
          greatest = std::max(greatest, kernels.add_row(args.dy.row<T>(t) + begin, mask, scale, end - begin,
                                                        token, position));
        }
        if (greatest >= limit) args.verdict->declare_bad();
      });
    });
  }

 private:
  template <class Body>
  void with_kernels(DType dtype, Body&& body) {
    if (dtype == DType::bf16) {
      body(bf16_);
    } else {
      body(f32_);
    }
  }
  template <class Body>
  void for_rows(std::int64_t rows, Body&& body) {
    pool_.for_range(rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end, int thread) {
      for (std::int64_t r = begin; r < end; ++r) body(r, thread);
    });
  }
  static const float* floats_or_null(const Tensor& tensor) {
    return tensor.empty() ? nullptr : tensor.as<float>();
  }

  void reserve(std::int64_t floats) {
    for (Scratch& s : scratch_) s.get<float>(static_cast<std::size_t>(floats));
  }
  float* scratch(int thread) { return scratch_[static_cast<std::size_t>(thread)].get<float>(0); }
  const float* multipliers(const Dropout& dropout, std::int64_t row, std::int64_t columns, int thread) {
    if (!dropout.active()) return nullptr;
    float* mask = scratch_[static_cast<std::size_t>(thread)].get<float>(static_cast<std::size_t>(columns));
    fill_multipliers(dropout, row, 0, columns, mask);
    return mask;
  }

  template <class T>
  void norm_gradients(const LayerNormBackward& args, const ElementwiseKernels<T>& kernels) {
    const std::int64_t rows = args.x.rows();
    pool_.for_range(args.x.columns(), 16, [&](std::int64_t begin, std::int64_t end, int) {
      bool good = true;
      for (std::int64_t block = 0; block < rows; block += kBlockRows) {
        const std::int64_t count = std::min(kBlockRows, rows - block);
        std::int64_t* dbias = args.dbias.empty() ? nullptr : args.dbias.as<std::int64_t>() + begin;
        const std::uint32_t greatest =
            kernels.norm_gradients(args.dy.row<T>(block) + begin, args.x.row<T>(block) + begin,
                                   args.x.row_stride, args.mean.as<float>() + block,
                                   args.rstd.as<float>() + block, count, static_cast<int>(end - begin),
                                   power_of_two(args.shift), args.dgain.as<std::int64_t>() + begin, dbias);
        good = good && greatest < contribution_limit_bits(count);
      }
      if (!good) args.verdict->declare_bad();
    });
  }

  ThreadPool& pool_;
  ElementwiseKernels<float> f32_;
  ElementwiseKernels<bf16> bf16_;
  std::vector<Scratch> scratch_;
};

}  // namespace

std::unique_ptr<ElementwiseOps> make_elementwise(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuElementwise>(pool, isa);
}

}  // namespace megalith::cpu
