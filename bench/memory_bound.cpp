// Kernels bound by memory, as shares of the bandwidth of a copy measured in the same run: bytes are those
// the operations declare (device/cost.h), arrays are larger than the caches. Beside each stands what one
// thread reaches when its operands are in the second-level cache, times the number of threads: a kernel for
// which that is little more is bound by its instructions and not by memory.
//   bench_memory_bound [--threads N] [--rounds N] [--json] [part of a name ...]

#include <algorithm>
#include <memory>
#include <random>

#include "core/arena.h"
#include "device/cpu/peak/peak.h"
#include "open_device.h"

namespace megalith {
namespace {

constexpr std::int64_t kHidden = 1024;
constexpr std::int64_t kVocabulary = 50304;

struct Sizes {
  std::int64_t tokens, loss_tokens, parameters;
  int repeats;  // calls that count as one, so that it takes long enough
};
constexpr Sizes kInMemory{.tokens = 16384, .loss_tokens = 512, .parameters = 1 << 24, .repeats = 1};
constexpr Sizes kInCache{.tokens = 64, .loss_tokens = 2, .parameters = 1 << 14, .repeats = 256};

// Operands of every kernel here, filled once. Sums go on growing from call to call; nobody reads them.
struct Operands {
  Operands(DType dtype_, const Sizes& sizes_)
      : dtype(dtype_), sizes(sizes_), arena("operands", std::size_t{3} << 30) {
    x = rows(dtype, kHidden);
    dy = rows(dtype, kHidden);
    y = rows(dtype, kHidden);
    wide = rows(dtype, 2 * kHidden);
    wide_gradient = rows(dtype, 2 * kHidden);
    sums = rows(DType::f32, kHidden);
    mean = arena.allocate(DType::f32, {sizes.tokens});
    rstd = arena.allocate(DType::f32, {sizes.tokens});
    gain = arena.allocate(DType::f32, {kHidden});
    dgain = arena.allocate(DType::i64, {kHidden});
    dbias = arena.allocate(DType::i64, {kHidden});
    table = arena.allocate(dtype, {kVocabulary, kHidden});
    dtable = arena.allocate(DType::i64, {kVocabulary, kHidden});
    logits = arena.allocate(DType::f32, {sizes.loss_tokens, kVocabulary});
    dlogits = arena.allocate(dtype, {sizes.loss_tokens, kVocabulary});
    state = arena.allocate(DType::f32, {sizes.loss_tokens, 2});
    log_probability = arena.allocate(DType::f32, {sizes.loss_tokens});
    gradient = arena.allocate(DType::i64, {sizes.parameters});
    for (Tensor* tensor : {&master, &m, &v}) *tensor = arena.allocate(DType::f32, {sizes.parameters});
    working = arena.allocate(DType::bf16, {sizes.parameters});
    fill();
  }

  Tensor rows(DType type, std::int64_t columns) { return arena.allocate(type, {sizes.tokens, columns}); }

  void fill() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> some(1 << 16);
    for (float& value : some) value = normal(random);
    for (const Tensor* tensor : {&x, &dy, &y, &wide, &sums, &gain, &table, &logits, &master, &m}) {
      for (std::int64_t i = 0; i < tensor->count(); ++i) {
        const float value = some[static_cast<std::size_t>(i) % (some.size() - 1)];
        if (tensor->dtype == DType::bf16) {
          tensor->as<bf16>()[i] = to_bf16(value);
        } else {
          tensor->as<float>()[i] = value;
        }
      }
    }
    std::fill_n(mean.as<float>(), sizes.tokens, 0.0f);
    std::fill_n(rstd.as<float>(), sizes.tokens, 1.0f);
    std::fill_n(v.as<float>(), sizes.parameters, 1e-4f);
    for (std::int64_t i = 0; i < sizes.parameters; ++i)
      gradient.as<std::int64_t>()[i] = static_cast<std::int64_t>(random()) - (1 << 30);
    for (std::int64_t t = 0; t < sizes.tokens; ++t) {
      ids.push_back(static_cast<std::int32_t>(random() % kVocabulary));
      positions.push_back(static_cast<std::int32_t>(t % 1024));
      mask.push_back(1);
    }
  }

  DType dtype;
  Sizes sizes;
  Arena arena;
  Tensor x, dy, y, wide, wide_gradient, sums, mean, rstd, gain, dgain, dbias, table, dtable, logits, dlogits,
      state, log_probability, gradient, master, m, v, working;
  std::vector<std::int32_t> ids, positions;
  std::vector<std::uint8_t> mask;
  Verdict verdict;
};

class Bench {
 public:
  Bench(const bench::Options& options, Device& device, DType dtype, const Sizes& sizes)
      : options_(options), device_(device), o_(dtype, sizes) {}

  std::vector<bench::Candidate> candidates() {
    norms();
    elementwise();
    loss();
    optimizer();
    return std::move(list_);
  }

 private:
  // Calls one of the operations of a family with arguments that declare their own cost.
  template <class Ops, class Args>
  void add(const std::string& name, Ops& ops, void (Ops::*operation)(const Args&), const Args& args) {
    add(name, cost_of(args).bytes, [&ops, operation, args] { (ops.*operation)(args); });
  }
  void add(const std::string& name, double bytes, std::function<void()> call) {
    if (!options_.names_part_of(name)) return;
    const int repeats = o_.sizes.repeats;
    list_.push_back({fmt::format("{} {}", name, name_of(o_.dtype)), bytes * repeats, [call, repeats] {
                       for (int i = 0; i < repeats; ++i) call();
                     }});
  }

  void norms() {
    ElementwiseOps& ops = device_.elementwise();
    for (const Norm norm : {Norm::layer, Norm::rms}) {
      const std::string name = norm == Norm::layer ? "layer norm" : "rms norm";
      add(name + " forward", ops, &ElementwiseOps::forward,
          NormForward{.norm = norm, .x = o_.x, .gain = o_.gain, .y = o_.y, .mean = o_.mean, .rstd = o_.rstd});
      add(name + " backward", ops, &ElementwiseOps::backward,
          NormBackward{.norm = norm,
                       .dy = o_.dy,
                       .x = o_.x,
                       .mean = o_.mean,
                       .rstd = o_.rstd,
                       .gain = o_.gain,
                       .residual_gradient = o_.x,
                       .dx = o_.y,
                       .dgain = o_.dgain,
                       .dbias = norm == Norm::layer ? o_.dbias : Tensor{},
                       .shift = 20,
                       .verdict = &o_.verdict});
    }
  }

  void elementwise() {
    ElementwiseOps& ops = device_.elementwise();
    for (const Activation activation : {Activation::gelu_tanh, Activation::gelu_erf, Activation::swiglu}) {
      const std::string name = activation == Activation::gelu_tanh  ? "gelu (tanh)"
                               : activation == Activation::gelu_erf ? "gelu (erf)"
                                                                    : "swiglu";
      const bool gated = is_gated(activation);
      add(name + " forward", ops, &ElementwiseOps::forward,
          ActivationForward{.activation = activation, .x = gated ? o_.wide : o_.x, .y = o_.y});
      add(name + " backward", ops, &ElementwiseOps::backward,
          ActivationBackward{.activation = activation,
                             .x = gated ? o_.wide : o_.x,
                             .dy = o_.dy,
                             .dx = gated ? o_.wide_gradient : o_.y});
    }
    add("bias gradient", device_.matmul(), &MatmulOps::bias_gradient,
        BiasGradient{.dy = o_.dy, .db = o_.dbias, .shift = 20, .verdict = &o_.verdict});
    add("bias and residual", ops, &ElementwiseOps::forward,
        BiasDropoutResidual{.x = o_.sums, .bias = o_.gain, .residual = o_.x, .y = o_.y, .dropout = {}});
    add("embedding forward", ops, &ElementwiseOps::forward,
        EmbeddingForward{
            .ids = o_.ids.data(), .positions = nullptr, .token_table = o_.table, .y = o_.y, .dropout = {}});
    add("embedding backward", ops, &ElementwiseOps::backward,
        EmbeddingBackward{.ids = o_.ids.data(),
                          .positions = o_.positions.data(),
                          .dy = o_.dy,
                          .dtoken_table = o_.dtable,
                          .dposition_table = o_.dtable,
                          .dropout = {},
                          .shift = 20,
                          .verdict = &o_.verdict});
  }

  void loss() {
    LossOps& ops = device_.loss();
    const CrossEntropyShape shape{.vocabulary = 50257, .leaves = 8};
    add("cross entropy forward", ops, &LossOps::forward,
        CrossEntropyForward{.shape = shape,
                            .logits = o_.logits,
                            .targets = o_.positions.data(),
                            .log_probability = o_.log_probability,
                            .log_sum_exp = o_.state});
    add("cross entropy backward", ops, &LossOps::backward,
        CrossEntropyBackward{.shape = shape,
                             .logits = o_.logits,
                             .targets = o_.positions.data(),
                             .loss_mask = o_.mask.data(),
                             .log_sum_exp = o_.state,
                             .dlogits = o_.dlogits});
  }

  void optimizer() {
    if (o_.dtype != DType::bf16) return;  // the others are the same in f32
    OptimizerOps& ops = device_.optimizer();
    const GradientScale scale{.shift = 34, .divisor = 4096};
    const SquaredNorm norm{.gradient = o_.gradient, .scale = scale};
    add("squared norm", cost_of(norm).bytes, [&ops, norm] { ops.squared_norm(norm); });
    add("adamw", ops, &OptimizerOps::update,
        AdamUpdate{.gradient = o_.gradient,
                   .master = o_.master,
                   .m = o_.m,
                   .v = o_.v,
                   .working = o_.working,
                   .scale = scale,
                   .rate = 1e-4f});
    add("cast f32 to", ops, &OptimizerOps::cast, Cast{.from = o_.master, .to = o_.working});
    add("digest f32, beside", cost_of_digest(o_.master).bytes, [&ops, this] { ops.digest(o_.master, 0); });
    add("zero i64, beside", cost_of_zero(o_.dtable).bytes, [&ops, this] { ops.zero(o_.dtable); });
    add("finite check", cost_of_finite_check(o_.wide).bytes, [&ops, this] { ops.all_finite(o_.wide); });
  }

  const bench::Options& options_;
  Device& device_;
  Operands o_;
  std::vector<bench::Candidate> list_;
};

void measure(const bench::Options& options, bench::Report& report, DType dtype) {
  const std::unique_ptr<Device> device = bench::open_device(options);
  const std::unique_ptr<Device> one_thread = bench::open_device(1);
  Bench in_memory(options, *device, dtype, kInMemory);
  Bench in_cache(options, *one_thread, dtype, kInCache);
  std::vector<bench::Candidate> candidates = in_memory.candidates();
  const std::size_t kernels = candidates.size();
  for (bench::Candidate& cached : in_cache.candidates()) candidates.push_back(std::move(cached));
  ThreadPool pool(device->num_threads());
  const cpu::Isa isa = cpu::available_isas().back();
  double copy = 0;
  candidates.push_back({"copy", 1, [&] { copy = std::max(copy, cpu::measure_copy_bandwidth(pool, isa)); }});
  const std::vector<bench::Timing> timings = bench::take_turns(candidates, options);
  for (std::size_t c = 0; c < kernels; ++c) {
    const auto add = [&](std::size_t at, double threads, const char* where) {
      report.add(candidates[c].name + where, threads * candidates[at].work / timings[at].best_seconds * 1e-9,
                 "GB/s", copy * 1e-9, timings[at].median_seconds / timings[at].best_seconds);
    };
    add(c, 1, "");
    add(c + kernels, device->num_threads(), ", from the cache");
  }
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  bench::Report report(
      options, "Kernels bound by memory, bytes as declared, " + bench::open_device(options)->description());
  for (const DType dtype : {DType::bf16, DType::f32}) measure(options, report, dtype);
  report.expect_lines(options);
}
