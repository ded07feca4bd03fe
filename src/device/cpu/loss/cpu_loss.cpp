// Cross entropy on the CPU: one row is one task, cut into leaves and blocks as device/loss.h says.

#include <algorithm>

#include "core/fixed_point.h"
#include "device/cpu/cpu_device.h"
#include "device/cpu/loss/loss_kernels.h"

namespace megalith::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 4;
constexpr int kMostLevels = 8;

LossKernels kernels_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16) return loss_kernels_avx512_bf16();
  if (isa == Isa::avx512) return loss_kernels_avx512();
  if (isa == Isa::avx2) return loss_kernels_avx2();
#else
  static_cast<void>(isa);
#endif
  return loss_kernels_portable();
}

// d/dz of log p + z_loss (log sum)^2 multiplies the softmax by this.
float z_loss_scale(float z_loss, SoftmaxPart row) {
  return z_loss == 0 ? 1.0f : 1.0f + 2.0f * z_loss * (row.greatest + log_exact(row.sum));
}

class CpuLoss final : public LossOps {
 public:
  CpuLoss(ThreadPool& pool, Isa isa) : pool_(pool), kernels_(kernels_of(isa)) {}

  void cap(const SoftCap& args) override {
    for_rows(args.logits.rows(), [&](std::int64_t r) {
      kernels_.cap(args.logits.row<float>(r), args.cap, args.logits.columns());
    });
  }

  void forward(const CrossEntropyForward& args) override {
    check(args.shape, args.logits);
    MEGALITH_CHECK(args.shape.vocabulary <= args.logits.columns(), "{} of a vocabulary of {}",
                   describe(args.logits), args.shape.vocabulary);
    for_rows(args.logits.rows(), [&](std::int64_t r) {
      const float* logits = args.logits.row<float>(r);
      const SoftmaxPart row = softmax_state(args.shape, logits, args.logits.columns(), args.shape.vocabulary);
      finish_row(row, logits[args.targets[r]], r, args.log_sum_exp, args.log_probability);
    });
  }

  void partial(const CrossEntropyPartial& args) override {
    check(args.shape, args.logits);
    const std::int64_t columns = args.logits.columns();
    const std::int64_t vocabulary = columns_within(args.shape, args.first_column, columns);
    for_rows(args.logits.rows(), [&](std::int64_t r) {
      const float* logits = args.logits.row<float>(r);
      const SoftmaxPart part = softmax_state(args.shape, logits, columns, vocabulary);
      const std::int64_t target = args.targets[r] - args.first_column;
      float* out = args.partial.row<float>(r);
      out[0] = part.greatest;
      out[1] = part.sum;
      out[2] = target >= 0 && target < columns ? logits[target] : 0.0f;
    });
  }

  void join(const CrossEntropyJoin& args) override {
    const std::int64_t rows = args.partials.shape[2];
    const auto shares = static_cast<int>(args.partials.shape[1]);
    MEGALITH_CHECK(args.partials.columns() == 3 && args.partials.dense() && shares <= (1 << kMostLevels) &&
                       args.log_sum_exp.rows() == rows,
                   "partials {} of {}", describe(args.partials), describe(args.log_sum_exp));
    for_rows(rows, [&](std::int64_t r) {
      const auto part_of = [&](std::int64_t share) { return args.partials.row<float>(share * rows + r); };
      const SoftmaxPart row = join_by_tree(shares, [&](int share) {
        return SoftmaxPart{.greatest = part_of(share)[0], .sum = part_of(share)[1]};
      });
      const float target_logit = part_of(args.targets[r] / args.share_columns)[2];
      finish_row(row, target_logit, r, args.log_sum_exp, args.log_probability);
    });
  }

  void backward(const CrossEntropyBackward& args) override {
    check(args.shape, args.logits);
    MEGALITH_CHECK(
        args.dlogits.rows() == args.logits.rows() && args.dlogits.columns() == args.logits.columns(), "{}",
        describe(args.dlogits));
    with_float_type(args.dlogits.dtype, [&]<class T>(T) {
      for_rows(args.logits.rows(), [&](std::int64_t r) { gradient_row<T>(args, r); });
    });
  }

  void sum(const LossSum& args) override {
    constexpr float kLimit = 0x1p20f;
    const float* log_probability = args.log_probability.as<float>();
    for (std::int64_t r = 0; r < args.log_probability.count(); ++r) {
      if (args.loss_mask[r] == 0) continue;
      const float loss = -log_probability[r];
      if (!(std::fabs(loss) < kLimit)) {
        args.verdict->declare_bad();
        continue;
      }
      *args.sum += to_fixed_point(loss, kLossShift);
      ++*args.count;
    }
  }

 private:
  template <class Body>
  void for_rows(std::int64_t rows, Body&& body) {
    pool_.for_range(rows, kRowsPerTask, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t r = begin; r < end; ++r) body(r);
    });
  }

  static void check(const CrossEntropyShape& shape, const Tensor& logits) {
    MEGALITH_CHECK(shape.leaves >= 1 && shape.leaves <= (1 << kMostLevels) && shape.vocab_block > 0 &&
                       logits.columns() % shape.leaves == 0,
                   "{} in {} leaves of a vocabulary of {}", describe(logits), shape.leaves, shape.vocabulary);
  }

  // Of `columns` columns from first_column on, those before the padding.
  static std::int64_t columns_within(const CrossEntropyShape& shape, std::int64_t first_column,
                                     std::int64_t columns) {
    return std::clamp<std::int64_t>(shape.vocabulary - first_column, 0, columns);
  }

  static void finish_row(SoftmaxPart row, float target_logit, std::int64_t r, const Tensor& log_sum_exp,
                         const Tensor& log_probability) {
    float* state = log_sum_exp.as<float>() + 2 * r;
    state[0] = row.greatest;
    state[1] = row.sum;
    log_probability.as<float>()[r] = (target_logit - row.greatest) - log_exact(row.sum);
  }

  // An empty part changes nothing.
  [[nodiscard]] SoftmaxPart joined(SoftmaxPart a, SoftmaxPart b) const {
    if (b.sum == 0) return a;
    return a.sum == 0 ? b : kernels_.join(a, b);
  }

  // part_of(0), part_of(1), ... joined ((0+1)+(2+3))+...
  template <class PartOf>
  SoftmaxPart join_by_tree(int count, PartOf part_of) const {
    SoftmaxPart waiting[kMostLevels + 1];  // finished subtrees of 2^level parts
    SoftmaxPart part;
    for (int i = 0; i < count; ++i) {
      part = part_of(i);
      int level = 0;
      for (int carry = i; (carry & 1) != 0; carry >>= 1) part = joined(waiting[level++], part);
      waiting[level] = part;
    }
    return part;
  }

  // vocabulary: the columns before the padding.
  [[nodiscard]] SoftmaxPart softmax_state(const CrossEntropyShape& shape, const float* logits,
                                          std::int64_t padded, std::int64_t vocabulary) const {
    const std::int64_t leaf_columns = padded / shape.leaves;
    return join_by_tree(shape.leaves, [&](int leaf) {
      SoftmaxPart part;
      const std::int64_t end = std::min((leaf + 1) * leaf_columns, vocabulary);
      for (std::int64_t begin = leaf * leaf_columns; begin < end; begin += shape.vocab_block) {
        part = joined(part,
                      kernels_.block(logits + begin, std::min<std::int64_t>(shape.vocab_block, end - begin)));
      }
      return part;
    });
  }

  template <class T>
  void gradient_row(const CrossEntropyBackward& args, std::int64_t r) const {
    T* out = args.dlogits.row<T>(r);
    const std::int64_t vocabulary =
        args.loss_mask[r] == 0 ? 0 : columns_within(args.shape, args.first_column, args.dlogits.columns());
    std::fill(out + vocabulary, out + args.dlogits.columns(), T{});
    if (vocabulary == 0) return;
    const float* logits = args.logits.row<float>(r);
    const float* state = args.log_sum_exp.as<float>() + 2 * r;
    const SoftmaxPart row{.greatest = state[0], .sum = state[1]};
    const SoftmaxSlope slope{.scale = z_loss_scale(args.shape.z_loss, row), .softcap = args.shape.softcap};
    if constexpr (std::is_same_v<T, bf16>) {
      kernels_.softmax_bf16(logits, row, slope, vocabulary, out);
    } else {
      kernels_.softmax_f32(logits, row, slope, vocabulary, out);
    }
    const std::int64_t target = args.targets[r] - args.first_column;
    if (target < 0 || target >= vocabulary) return;
    float gradient = exp_exact(logits[target] - row.greatest) / row.sum * slope.scale - 1.0f;
    if (slope.softcap != 0)
      gradient *= cap_slope(ScalarFloat{logits[target]}, ScalarFloat{slope.softcap}).value;
    if constexpr (std::is_same_v<T, bf16>) {
      out[target] = to_bf16(gradient);
    } else {
      out[target] = gradient;
    }
  }

  ThreadPool& pool_;
  LossKernels kernels_;
};

}  // namespace

std::unique_ptr<LossOps> make_loss(ThreadPool& pool, Isa isa) {
  return std::make_unique<CpuLoss>(pool, isa);
}

}  // namespace megalith::cpu
