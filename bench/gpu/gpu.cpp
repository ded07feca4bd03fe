// CUDA kernels against ceilings measured in the same run: products against the best large product that
// cuBLASLt or our own kernels reach, everything else against a copy within GPU memory. bench/gpu.sh runs it;
// without a GPU it says so.
//   bench_gpu [--rounds N] [--json]

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "device/cuda/cuda_device.h"
#include "harness.h"

namespace megalith {
namespace {

constexpr double kCallSeconds = 4e-3;  // of one timed call: launches are microseconds

// An operation and what it is measured in.
struct Entry {
  std::string name;
  double work = 0;     // FLOPs or bytes
  bool flops = false;  // else bytes
  std::function<void()> launch;
};

class GpuBench {
 public:
  GpuBench(cuda::CudaDevice& device, cuda::CudaDevice& ceiling, const bench::Options& options,
           bench::Report& report)
      : device_(device),
        ceiling_(ceiling),
        options_(options),
        report_(report),
        arena_("operands", kArenaBytes, device.memory()) {}

  Tensor random(DType dtype, std::int64_t rows, std::int64_t columns, float deviation = 1) {
    const Tensor tensor = arena_.allocate(dtype, {rows, columns});
    std::vector<float> numbers(1 << 20);
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, deviation);
    for (float& number : numbers) number = normal(random);
    // The same million again and again: a chip's power, and so its clock, depends on the bits, not on their
    // order.
    const auto floats = arena_.mark();
    const Tensor block = arena_.allocate(DType::f32, {static_cast<std::int64_t>(numbers.size())});
    device_.upload(block.data, numbers.data(), numbers.size() * sizeof(float), device_.compute_stream());
    for (std::int64_t at = 0; at < tensor.count(); at += block.count()) {
      const std::int64_t count = std::min(block.count(), tensor.count() - at);
      void* to = static_cast<std::byte*>(tensor.data) + static_cast<std::size_t>(at) * size_of(dtype);
      device_.optimizer().cast(
          {.from = Tensor(block.data, DType::f32, {count}), .to = Tensor(to, dtype, {count})});
    }
    device_.synchronize();
    arena_.release(floats);
    return tensor;
  }
  Tensor zeros(DType dtype, std::int64_t rows, std::int64_t columns) {
    const Tensor tensor = arena_.allocate(dtype, {rows, columns});
    device_.optimizer().zero(tensor);
    return tensor;
  }
  Tensor vector(DType dtype, std::int64_t count) {
    const Tensor tensor = zeros(dtype, 1, count);
    return {tensor.data, dtype, {count}};
  }

  // Times entries in turn with both ceilings and reports their shares.
  void measure(const std::vector<Entry>& entries) {
    const ArenaScope scope(arena_);
    std::vector<Entry> all = entries;
    all.push_back(product_ceiling());
    all.push_back(copy_ceiling());
    std::vector<bench::Candidate> candidates;
    std::vector<int> repeats;
    for (const Entry& entry : all) {
      repeats.push_back(repeats_of(entry));
      candidates.push_back({entry.name, entry.work, [this, launch = entry.launch, n = repeats.back()] {
                              for (int i = 0; i < n; ++i) launch();
                              wait();
                            }});
    }
    const std::vector<bench::Timing> timings = bench::take_turns(candidates, options_.rounds);
    const auto rate = [&](std::size_t i) { return all[i].work * repeats[i] / timings[i].best_seconds; };
    const double flops = rate(entries.size());
    const double bytes = rate(entries.size() + 1);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      report_.add(all[i].name, rate(i) * (all[i].flops ? 1e-12 : 1e-9), all[i].flops ? "TFLOP/s" : "GB/s",
                  all[i].flops ? flops * 1e-12 : bytes * 1e-9,
                  timings[i].median_seconds / timings[i].best_seconds);
    }
  }

  cuda::CudaDevice& device() { return device_; }
  Arena& arena() { return arena_; }

 private:
  static constexpr std::size_t kArenaBytes = std::size_t{12} << 30;

  void wait() {
    device_.synchronize();
    ceiling_.synchronize();
  }
  int repeats_of(const Entry& entry) {
    using Clock = std::chrono::steady_clock;
    entry.launch();  // the library's start-up check happens here
    wait();
    const Clock::time_point start = Clock::now();
    entry.launch();
    wait();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::max(1, static_cast<int>(std::ceil(kCallSeconds / seconds)));
  }
  Entry product_ceiling() {
    constexpr std::int64_t kSide = 8192;
    const Tensor x = random(DType::bf16, kSide, kSide);
    const Tensor w = random(DType::bf16, kSide, kSide);
    const Tensor y = zeros(DType::bf16, kSide, kSide);
    return {"product ceiling", 2.0 * kSide * kSide * kSide, true,
            [=, this] { ceiling_.matmul().forward({.x = x, .w = w, .bias = {}, .y = y, .order = {}}); }};
  }
  Entry copy_ceiling() {
    constexpr std::size_t kBytes = std::size_t{1} << 30;
    void* from = arena_.allocate_bytes(kBytes);
    void* to = arena_.allocate_bytes(kBytes);
    return {"copy ceiling", 2.0 * kBytes, false,
            [=, this] { device_.copy(to, from, kBytes, device_.compute_stream()); }};
  }

  cuda::CudaDevice& device_;
  cuda::CudaDevice& ceiling_;
  const bench::Options& options_;
  bench::Report& report_;
  Arena arena_;
};

void products(GpuBench& bench, std::int64_t tokens, std::int64_t outputs, std::int64_t inputs, DType dtype) {
  const ArenaScope scope(bench.arena());
  const Tensor x = bench.random(dtype, tokens, inputs);
  const Tensor w = bench.random(dtype, outputs, inputs);
  const Tensor dy = bench.random(dtype, tokens, outputs, 1e-3f);
  const Tensor y = bench.zeros(DType::f32, tokens, outputs);
  const Tensor dx = bench.zeros(DType::f32, tokens, inputs);
  const Tensor dw = bench.zeros(DType::i64, outputs, inputs);
  MatmulOps& ops = bench.device().matmul();
  const double work = 2.0 * static_cast<double>(tokens * outputs * inputs);
  const auto name = [&](const char* what) {
    return fmt::format("{} {}x{}x{} {}", name_of(dtype), tokens, outputs, inputs, what);
  };
  const auto gradient = [&ops, dy, x, dw](std::int64_t grain) {
    return [=, &ops] {
      ops.weight_gradient({.dy = dy, .x = x, .dw = dw, .grain = grain, .shift = 30, .verdict = nullptr});
    };
  };
  bench.measure({
      {name("forward"), work, true,
       [=, &ops] { ops.forward({.x = x, .w = w, .bias = {}, .y = y, .order = {}}); }},
      {name("forward, 8 leaves"), work, true,
       [=, &ops] { ops.forward({.x = x, .w = w, .bias = {}, .y = y, .order = {.leaves = 8}}); }},
      {name("input gradient"), work, true,
       [=, &ops] { ops.input_gradient({.dy = dy, .w = w, .dx = dx, .order = {}}); }},
      {name("input gradient, 8 leaves"), work, true,
       [=, &ops] { ops.input_gradient({.dy = dy, .w = w, .dx = dx, .order = {.leaves = 8}}); }},
      {name("weight gradient, one grain"), work, true, gradient(tokens)},
      {name("weight gradient, grains of 1024"), work, true, gradient(1024)},
  });
}

void rowwise(GpuBench& bench, std::int64_t tokens, std::int64_t width) {
  const ArenaScope scope(bench.arena());
  const Tensor x = bench.random(DType::bf16, tokens, width);
  const Tensor y = bench.zeros(DType::bf16, tokens, width);
  const Tensor dy = bench.random(DType::bf16, tokens, width, 1e-3f);
  const Tensor gain = bench.vector(DType::f32, width);
  const Tensor mean = bench.vector(DType::f32, tokens);
  const Tensor rstd = bench.vector(DType::f32, tokens);
  const Tensor sums = bench.vector(DType::i64, width);
  ElementwiseOps& ops = bench.device().elementwise();
  MatmulOps& products = bench.device().matmul();
  std::vector<Entry> entries;
  for (const Norm norm : {Norm::layer, Norm::rms}) {
    const char* kind = norm == Norm::layer ? "LayerNorm" : "RMSNorm";
    const Tensor bias = norm == Norm::layer ? gain : Tensor{};
    const NormForward forward{
        .norm = norm, .x = x, .gain = gain, .bias = bias, .y = y, .mean = mean, .rstd = rstd};
    const NormBackward backward{.norm = norm,
                                .dy = dy,
                                .x = x,
                                .mean = mean,
                                .rstd = rstd,
                                .gain = gain,
                                .residual_gradient = y,
                                .dx = y,
                                .dgain = sums,
                                .dbias = norm == Norm::layer ? sums : Tensor{},
                                .shift = 30};
    entries.push_back({fmt::format("{} forward {}x{}", kind, tokens, width), cost_of(forward).bytes, false,
                       [=, &ops] { ops.forward(forward); }});
    entries.push_back({fmt::format("{} backward {}x{}", kind, tokens, width), cost_of(backward).bytes, false,
                       [=, &ops] { ops.backward(backward); }});
  }
  for (const Activation activation : {Activation::gelu_tanh, Activation::gelu_erf}) {
    const char* kind = activation == Activation::gelu_tanh ? "GELU (tanh)" : "GELU (erf)";
    const ActivationForward forward{.activation = activation, .x = x, .y = y};
    const ActivationBackward backward{.activation = activation, .x = x, .dy = dy, .dx = y};
    entries.push_back({fmt::format("{} forward {}x{}", kind, tokens, width), cost_of(forward).bytes, false,
                       [=, &ops] { ops.forward(forward); }});
    entries.push_back({fmt::format("{} backward {}x{}", kind, tokens, width), cost_of(backward).bytes, false,
                       [=, &ops] { ops.backward(backward); }});
  }
  const BiasGradient bias{.dy = dy, .db = sums, .shift = 30};
  entries.push_back({fmt::format("bias gradient {}x{}", tokens, width), cost_of(bias).bytes, false,
                     [=, &products] { products.bias_gradient(bias); }});
  bench.measure(entries);
}

void optimizer(GpuBench& bench, std::int64_t count) {
  const ArenaScope scope(bench.arena());
  const Tensor gradient = bench.zeros(DType::i64, 1, count);
  const Tensor master = bench.random(DType::f32, 1, count);
  const Tensor m = bench.random(DType::f32, 1, count, 1e-3f);
  const Tensor v = bench.zeros(DType::f32, 1, count);
  const Tensor working = bench.zeros(DType::bf16, 1, count);
  OptimizerOps& ops = bench.device().optimizer();
  const AdamUpdate adam{
      .gradient = gradient, .master = master, .m = m, .v = v, .working = working, .rate = 1e-4f};
  const SquaredNorm norm{.gradient = gradient, .scale = {}};
  const auto elements = static_cast<double>(count);
  bench.measure({
      {fmt::format("AdamW {:.0f}M", elements * 1e-6), cost_of(adam).bytes, false,
       [=, &ops] { ops.update(adam); }},
      {fmt::format("squared norm {:.0f}M", elements * 1e-6), cost_of(norm).bytes, false,
       [=, &ops] { ops.squared_norm(norm); }},
      {fmt::format("digest {:.0f}M", elements * 1e-6), 4 * elements, false,
       [=, &ops] { ops.digest(master, 0); }},
      {fmt::format("cast to bf16 {:.0f}M", elements * 1e-6), 6 * elements, false,
       [=, &ops] { ops.cast({.from = master, .to = working}); }},
      {fmt::format("zero {:.0f}M of 64 bits", elements * 1e-6), 8 * elements, false,
       [=, &ops] { ops.zero(gradient); }},
  });
}

int run(const bench::Options& options) {
  const cuda::Availability here = cuda::availability();
  if (!here.why_not.empty()) {
    fmt::print(stderr, "no figures: {}\n", here.why_not);
    return 0;
  }
  const std::unique_ptr<cuda::CudaDevice> device = value_or_throw(cuda::make_device());
  bench::Report report(options, fmt::format("{}, {}, driver {}, {}; host", here.devices[0], here.toolkit,
                                            here.driver, here.library));
  const std::unique_ptr<cuda::CudaDevice> ceiling =
      value_or_throw(cuda::make_device({.products = cuda::ProductMode::unchecked}));
  GpuBench bench(*device, *ceiling, options, report);
  products(bench, 8192, 768, 768, DType::bf16);
  products(bench, 8192, 2304, 768, DType::bf16);
  products(bench, 8192, 768, 3072, DType::bf16);
  products(bench, 8192, 4096, 4096, DType::bf16);
  products(bench, 2048, 4096, 4096, DType::f32);
  rowwise(bench, 8192, 768);
  rowwise(bench, 8192, 4096);
  optimizer(bench, 124'000'000);
  for (const auto& [key, choice] : device->algorithms().choices()) {
    if (!options.json) fmt::print("{}: {}\n", cuda::describe(key), cuda::name_of(choice.algorithm));
  }
  for (const auto& [key, choice] : ceiling->algorithms().choices()) {
    if (!options.json) fmt::print("ceiling, {}: {}\n", cuda::describe(key), cuda::name_of(choice.algorithm));
  }
  return 0;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  return megalith::run(megalith::bench::parse_options(argc, argv));
}
