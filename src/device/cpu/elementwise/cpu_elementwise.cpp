// Element-wise operations on the CPU: shapes, threads and dropout masks; the arithmetic is in
// elementwise_kernels.h.

#include <algorithm>
#include <utility>
#include <vector>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/prefetch.h"
#include "device/cpu/scratch.h"

namespace megalith::cpu {
namespace {

// Rows of a task, at least: memory is read ahead best in long runs.
constexpr std::int64_t kRowsPerTask = 16;
constexpr std::int64_t kValuesPerTask = 32768;
constexpr std::int64_t kBlockRows = 32;  // of gain and bias gradients (docs/numerics.md)

template <class T>
ElementwiseKernels<T> kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16) return elementwise_kernels_avx512_bf16<T>();
  if (isa == Isa::avx512) return elementwise_kernels_avx512<T>();
  if (isa == Isa::avx2) return elementwise_kernels_avx2<T>();
#else
  static_cast<void>(isa);
#endif
  return elementwise_kernels_portable<T>();
}

std::int64_t rows_per_task(std::int64_t columns) {
  return std::max(kRowsPerTask, kValuesPerTask / std::max<std::int64_t>(columns, 1));
}

// The multipliers of features [begin, end) of a row: 0 where dropped, else the scale. begin is a multiple
// of 8.
void fill_multipliers(const Dropout& dropout, std::int64_t row, std::int64_t begin, std::int64_t end,
                      float* out) {
  const std::int64_t t = dropout.first_token + row;
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

// Rows of a table lie where the ids say, which no processor foresees.
constexpr std::int64_t kRowsAhead = 2;

void check_same(const char* operation, const Tensor& a, const Tensor& b) {
  MEGALITH_CHECK(a.rows() == b.rows() && a.columns() == b.columns(), "{}: {} and {}", operation, describe(a),
                 describe(b));
}

void check_activation(Activation activation, const Tensor& x, const Tensor& y) {
  const std::int64_t parts = is_gated(activation) ? 2 : 1;
  MEGALITH_CHECK(x.rows() == y.rows() && x.columns() == parts * y.columns(), "activation: {} and {}",
                 describe(x), describe(y));
}

void check_rotation(const HeadRotation& rotation, const Tensor& x) {
  const std::int64_t rotated = rotation.table.empty() ? 0 : rotation.table.columns();
  MEGALITH_CHECK(rotation.head_size > 0 && x.columns() % rotation.head_size == 0 && rotated % 2 == 0 &&
                     rotated <= rotation.head_size,
                 "{} features of heads of {} turn, in {}", rotated, rotation.head_size, describe(x));
}

// Cosines and sines of token t, or null.
const float* table_row(const HeadRotation& rotation, std::int64_t t) {
  return rotation.table.empty() ? nullptr : rotation.table.row<float>(rotation.positions[t]);
}

class CpuElementwise final : public ElementwiseOps {
 public:
  CpuElementwise(ThreadPool& pool, Isa isa)
      : pool_(pool),
        f32_(kernels_of<float>(isa)),
        bf16_(kernels_of<bf16>(isa)),
        scratch_(static_cast<std::size_t>(pool.num_threads())) {}

  void forward(const NormForward& args) override {
    check_same("norm", args.x, args.y);
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      pool_.for_range(args.x.rows(), rows_per_task(args.x.columns()),
                      [&](std::int64_t begin, std::int64_t end, int) {
                        kernels.norm_forward(args.norm == Norm::layer, rows_of<const T>(args.x, begin),
                                             args.gain.as<float>(), floats_or_null(args.bias), args.epsilon,
                                             end - begin, args.x.columns(), rows_of<T>(args.y, begin),
                                             args.mean.as<float>() + begin, args.rstd.as<float>() + begin);
                      });
    });
  }

  // A task is a block of rows, read once from memory: dx, then what it adds to the gradients.
  void backward(const NormBackward& args) override {
    check_same("norm backward", args.dy, args.x);
    check_same("norm backward", args.dy, args.dx);
    MEGALITH_CHECK(args.dx.data != args.dy.data && args.dx.data != args.x.data, "norm backward in place");
    const auto columns = static_cast<std::size_t>(args.x.columns());
    for (Scratch& s : scratch_) std::fill_n(s.get<std::int64_t>(2 * columns), 2 * columns, std::int64_t{0});
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      pool_.for_range(args.x.rows(), kBlockRows, [&](std::int64_t begin, std::int64_t end, int thread) {
        norm_block_back(args, kernels, begin, end, thread);
      });
    });
    for (Scratch& s : scratch_) {
      add_sums(s.get<std::int64_t>(0), args.dgain);
      if (!args.dbias.empty()) add_sums(s.get<std::int64_t>(0) + columns, args.dbias);
    }
  }

  void forward(const ActivationForward& args) override {
    check_activation(args.activation, args.x, args.y);
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      const std::int64_t width = args.y.columns();
      for_rows(args.x, [&](std::int64_t r, int) {
        const T* x = args.x.row<T>(r);
        const T* up = is_gated(args.activation) ? x + width : nullptr;
        kernels.activate(args.activation, x, up, width, args.y.row<T>(r));
      });
    });
  }

  void backward(const ActivationBackward& args) override {
    check_activation(args.activation, args.x, args.dy);
    check_same("activation backward", args.x, args.dx);
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      const std::int64_t width = args.dy.columns();
      for_rows(args.x, [&](std::int64_t r, int) {
        const T* x = args.x.row<T>(r);
        T* dx = args.dx.row<T>(r);
        const T* up = is_gated(args.activation) ? x + width : nullptr;
        if (args.dy.dtype == DType::f32) {
          kernels.activate_backward_f32(args.activation, x, up, args.dy.row<float>(r), width, dx, dx + width);
        } else {
          kernels.activate_backward(args.activation, x, up, args.dy.row<T>(r), width, dx, dx + width);
        }
      });
    });
  }

  void forward(const HeadRotationForward& args) override {
    const HeadRotation& rotation = args.rotation;
    check_same("head rotation", args.x, args.y);
    check_rotation(rotation, args.x);
    const std::int64_t heads = args.x.columns() / rotation.head_size;
    const int rotated = rotation.table.empty() ? 0 : static_cast<int>(rotation.table.columns());
    with_kernels(args.x.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x, [&](std::int64_t r, int) {
        for (std::int64_t h = 0; h < heads; ++h) {
          kernels.rotate(args.x.row<T>(r) + h * rotation.head_size, floats_or_null(rotation.gain),
                         rotation.epsilon, table_row(rotation, r), rotation.head_size, rotated,
                         args.y.row<T>(r) + h * rotation.head_size,
                         args.rstd.empty() ? nullptr : args.rstd.row<float>(r) + h);
        }
      });
    });
  }

  // A task is a block of rows: what it adds to the gain's gradient is summed per head, then rounded once.
  void backward(const HeadRotationBackward& args) override {
    check_same("head rotation backward", args.dy, args.dx);
    check_rotation(args.rotation, args.dy);
    const std::int64_t size = args.rotation.head_size;
    reserve(4 * size);
    for (Scratch& s : scratch_) std::fill_n(s.get<std::int64_t>(0), size, std::int64_t{0});
    with_kernels(args.dy.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      pool_.for_range(args.dy.rows(), kBlockRows, [&](std::int64_t begin, std::int64_t end, int thread) {
        rotate_block_back(args, kernels, begin, end, thread);
      });
    });
    if (args.rotation.gain.empty()) return;
    for (Scratch& s : scratch_) add_sums(s.get<std::int64_t>(0), args.dgain);
  }

  void forward(const BiasDropoutResidual& args) override {
    check_same("residual", args.x, args.residual);
    check_same("residual", args.x, args.y);
    with_kernels(args.y.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.x, [&](std::int64_t r, int thread) {
        kernels.bias_dropout_residual(args.x.row<float>(r), floats_or_null(args.bias),
                                      floats_or_null(args.second_bias), args.residual.row<T>(r),
                                      multipliers(args.dropout, r, args.x.columns(), thread),
                                      args.x.columns(), args.y.row<T>(r));
      });
    });
  }

  void backward(const DropoutBackward& args) override {
    check_same("dropout backward", args.dy, args.dx);
    with_kernels(args.dy.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.dy, [&](std::int64_t r, int thread) {
        if (!args.dropout.active()) {
          std::copy_n(args.dy.row<T>(r), args.dy.columns(), args.dx.row<T>(r));
          return;
        }
        kernels.dropout_backward(args.dy.row<T>(r), multipliers(args.dropout, r, args.dy.columns(), thread),
                                 args.dy.columns(), args.dx.row<T>(r));
      });
    });
  }

  void forward(const EmbeddingForward& args) override {
    with_kernels(args.y.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      for_rows(args.y, [&](std::int64_t r, int thread) {
        if (args.ids != nullptr && r + kRowsAhead < args.y.rows())
          ask_for(args.token_table.row<T>(args.ids[r + kRowsAhead]), args.y.columns());
        const T* position =
            args.position_table.empty() ? nullptr : args.position_table.row<T>(args.positions[r]);
        kernels.embed(args.token_table.row<T>(args.ids == nullptr ? r : args.ids[r]), position,
                      multipliers(args.dropout, r, args.y.columns(), thread), args.y.columns(),
                      args.y.row<T>(r));
      });
    });
  }

  // Threads divide the features, so two tokens with one id never meet.
  void backward(const EmbeddingBackward& args) override {
    // As long a run of each row as every thread's share allows.
    const std::int64_t share = (args.dy.columns() + pool_.num_threads() - 1) / pool_.num_threads();
    const std::int64_t task_columns = (share + 63) / 64 * 64;
    const bool floats = args.dtoken_table.dtype == DType::f32;
    const std::uint32_t limit = floats ? float_sum_limit_bits(args.shift) : contribution_limit_bits(1);
    with_kernels(args.dy.dtype, [&]<class T>(const ElementwiseKernels<T>& kernels) {
      reserve(task_columns);
      pool_.for_range(args.dy.columns(), task_columns, [&](std::int64_t begin, std::int64_t end, int thread) {
        float* mask = args.dropout.active() ? scratch(thread) : nullptr;
        const std::uint32_t greatest =
            floats ? embedding_columns_back<T, float>(args, kernels, begin, end, mask)
                   : embedding_columns_back<T, std::int64_t>(args, kernels, begin, end, mask);
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
  void for_rows(const Tensor& tensor, Body&& body) {
    pool_.for_range(tensor.rows(), rows_per_task(tensor.columns()),
                    [&](std::int64_t begin, std::int64_t end, int thread) {
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
  static Rows<T> rows_of(const Tensor& tensor, std::int64_t begin) {
    return {tensor.row<std::remove_const_t<T>>(begin), tensor.row_stride};
  }

  // Scratch of a thread: sums of the gain's and of the bias's gradient.
  template <class T>
  void norm_block_back(const NormBackward& args, const ElementwiseKernels<T>& kernels, std::int64_t begin,
                       std::int64_t end, int thread) {
    const std::int64_t columns = args.x.columns();
    const Rows<const T> dy = rows_of<const T>(args.dy, begin);
    const Rows<const T> x = rows_of<const T>(args.x, begin);
    const float* mean = args.mean.as<float>() + begin;
    const float* rstd = args.rstd.as<float>() + begin;
    Rows<const T> residual{nullptr, 0};
    if (!args.residual_gradient.empty()) residual = rows_of<const T>(args.residual_gradient, begin);
    kernels.norm_backward(args.norm == Norm::layer, dy, x, mean, rstd, args.gain.as<float>(), residual,
                          end - begin, columns, rows_of<T>(args.dx, begin));
    auto* sums = scratch_[static_cast<std::size_t>(thread)].get<std::int64_t>(0);
    const std::uint32_t greatest =
        kernels.norm_gradients(dy, x, mean, rstd, end - begin, columns, power_of_two(args.shift), sums,
                               args.dbias.empty() ? nullptr : sums + columns);
    if (greatest >= contribution_limit_bits(end - begin)) args.verdict->declare_bad();
  }

  // Columns [begin, end) of the gradients of embedding tables that are made of G; the greatest magnitude's
  // bits.
  template <class T, class G>
  static std::uint32_t embedding_columns_back(const EmbeddingBackward& args,
                                              const ElementwiseKernels<T>& kernels, std::int64_t begin,
                                              std::int64_t end, float* mask) {
    std::uint32_t greatest = 0;
    for (std::int64_t t = 0; t < args.dy.rows(); ++t) {
      const std::int64_t id = args.ids[t] - args.first_row;
      G* token = id >= 0 && id < args.dtoken_table.rows() ? args.dtoken_table.row<G>(id) + begin : nullptr;
      G* position =
          args.dposition_table.empty() ? nullptr : args.dposition_table.row<G>(args.positions[t]) + begin;
      if (token == nullptr) std::swap(token, position);
      if (token == nullptr) continue;
      if (mask != nullptr) fill_multipliers(args.dropout, t, begin, end, mask);
      const T* row = args.dy.row<T>(t) + begin;
      std::uint32_t found = 0;
      if constexpr (std::is_same_v<G, float>) {
        found = kernels.add_row_f32(row, mask, end - begin, token, position);
      } else {
        found = kernels.add_row(row, mask, power_of_two(args.shift), end - begin, token, position);
      }
      greatest = std::max(greatest, found);
    }
    return greatest;
  }

  // Modulo 2^64, as everywhere: a sum that is out of range was declared bad.
  static void add_sums(const std::int64_t* sums, const Tensor& gradient) {
    auto* total = gradient.as<std::int64_t>();
    for (std::int64_t i = 0; i < gradient.count(); ++i) {
      total[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(total[i]) +
                                           static_cast<std::uint64_t>(sums[i]));
    }
  }

  // Scratch of a thread: sums of the gain's gradient, then one head's dy turned back, then a block's sums.
  template <class T>
  void rotate_block_back(const HeadRotationBackward& args, const ElementwiseKernels<T>& kernels,
                         std::int64_t begin, std::int64_t end, int thread) {
    const HeadRotation& rotation = args.rotation;
    const bool norm = !rotation.gain.empty();
    const std::int64_t size = rotation.head_size;
    const int rotated = rotation.table.empty() ? 0 : static_cast<int>(rotation.table.columns());
    auto* sums = scratch_[static_cast<std::size_t>(thread)].get<std::int64_t>(0);
    float* turned = scratch(thread) + 2 * size;
    float* gain_sum = turned + size;
    for (std::int64_t h = 0; h < args.dy.columns(); h += size) {
      std::fill_n(gain_sum, size, 0.0f);
      for (std::int64_t r = begin; r < end; ++r) {
        kernels.rotate_backward(args.dy.row<T>(r) + h, norm ? args.x.row<T>(r) + h : nullptr,
                                floats_or_null(rotation.gain),
                                norm ? args.rstd.row<float>(r)[h / size] : 1.0f, table_row(rotation, r),
                                rotation.head_size, rotated, turned, gain_sum, args.dx.row<T>(r) + h);
      }
      if (!norm) continue;
      const std::uint32_t greatest =
          f32_.add_row(gain_sum, nullptr, power_of_two(args.shift), size, sums, nullptr);
      if (greatest >= contribution_limit_bits(end - begin)) args.verdict->declare_bad();
    }
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
