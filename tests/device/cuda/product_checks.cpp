// Products: the CPU's bits by multiply-adds; on tensor cores the promised chain, near float64, the same row
// whatever the number of rows.
#include <cmath>

#include "device/cpu/cpu_device.h"
#include "device/cuda/checked_device.h"
#include "device/cuda/kernels/chain_map.h"

namespace megalith::test {
namespace {

using cuda::ProductMode;

constexpr int kShift = 34;

struct Case {
  std::int64_t tokens, outputs, inputs;
  SumOrder forward, backward;
};

// Every tiling, leaves of odd length, members, ends that fill no tile.
std::vector<Case> cases(const CheckedDevice& device) {
  std::vector<Case> list = {
      {1, 24, 40, {}, {}},
      {7, 67, 33, {}, {}},
      {16, 130, 64, {.leaves = 8}, {.leaves = 2}},
      {17, 24, 40, {.leaves = 8}, {.leaves = 8}},
      {70, 3 * 8 * 3, 64, {.leaves = 4}, {.leaves = 8, .members = {24, 24, 24}}},
      {33, 64 + 16 + 16, 128, {.leaves = 2}, {.leaves = 4, .members = {64, 16, 16}}},
      {40, 64, 128, {.leaves = 64}, {.leaves = 16}},
      {130, 140, 17, {}, {}},
  };
  if (device.emulated()) return list;
  list.push_back({4096, 2304, 768, {}, {.leaves = 8, .members = {768, 768, 768}}});
  list.push_back({8192, 768, 3072, {.leaves = 8}, {}});
  list.push_back({2048, 4096, 4096, {}, {.leaves = 16}});
  list.push_back({300, 50304, 768, {}, {}});
  return list;
}

std::string describe(const Case& c, const char* what) {
  return fmt::format("{} {}x{}x{}", what, c.tokens, c.outputs, c.inputs);
}

struct Host {
  ThreadPool pool{usable_processors()};
  std::unique_ptr<MatmulOps> products = cpu::make_matmul(pool, cpu::available_isas().back());
};

// Both row-wise forms of one case. Padded rows do not start on 16 bytes; those that do may go to the library.
struct RowProducts {
  Twin x, w, bias, y, dy, dx;
  RowProducts(CheckedDevice& device, const Case& c, DType dtype, DType result, bool padded)
      : x(device, dtype, c.tokens, c.inputs, 1, 1, padded ? 8 : 0),
        w(device, dtype, c.outputs, c.inputs, 2, 1, padded ? 3 : 0),
        bias(device, DType::f32, 1, c.outputs, 3),
        y(device, result, c.tokens, c.outputs, 4, 1, padded ? 5 : 0),
        dy(device, dtype, c.tokens, c.outputs, 5, 1, padded ? 1 : 0),
        dx(device, result, c.tokens, c.inputs, 6, 1, padded ? 2 : 0) {}
  void on_host(MatmulOps& ops, const Case& c, bool with_bias) {
    ops.forward({.x = x.host(),
                 .w = w.host(),
                 .bias = with_bias ? bias.host_vector() : Tensor{},
                 .y = y.host(),
                 .order = c.forward});
    ops.input_gradient({.dy = dy.host(), .w = w.host(), .dx = dx.host(), .order = c.backward});
  }
  void on_device(MatmulOps& ops, const Case& c, bool with_bias) {
    ops.forward({.x = x.device(),
                 .w = w.device(),
                 .bias = with_bias ? bias.device_vector() : Tensor{},
                 .y = y.device(),
                 .order = c.forward});
    ops.input_gradient({.dy = dy.device(), .w = w.device(), .dx = dx.device(), .order = c.backward});
  }
};

void multiply_adds_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const Case& c : cases(device)) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const DType result : {DType::f32, dtype}) {
        RowProducts products(device, c, dtype, result, result == DType::f32);
        const bool with_bias = result == dtype;
        products.on_host(*host.products, c, with_bias);
        products.on_device(device.products(ProductMode::cpu), c, with_bias);
        products.y.expect_equal(findings, describe(c, "forward"));
        products.dx.expect_equal(findings, describe(c, "input gradient"));
      }
    }
  }
}

// fp32 products take the same kernel in either mode.
void fp32_products_have_the_cpus_bits_in_fast_mode_too(CheckedDevice& device, Findings& findings) {
  Host host;
  const Case c = cases(device)[3];
  RowProducts products(device, c, DType::f32, DType::f32, true);
  products.on_host(*host.products, c, false);
  products.on_device(device.products(ProductMode::fast), c, false);
  products.y.expect_equal(findings, describe(c, "forward"));
  products.dx.expect_equal(findings, describe(c, "input gradient"));
}

struct GradientCase {
  std::int64_t tokens, outputs, inputs, grain;
};

std::vector<GradientCase> gradient_cases(const CheckedDevice& device) {
  std::vector<GradientCase> list = {{96, 37, 70, 4}, {96, 37, 70, 32}, {96, 130, 24, 96}, {6, 64, 128, 2}};
  if (device.emulated()) return list;
  list.push_back({8192, 768, 3072, 1024});
  list.push_back({8192, 4096, 1024, 8192});
  list.push_back({2048, 64, 64, 32});
  return list;
}

void weight_gradients_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const GradientCase& c : gradient_cases(device)) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Twin dy(device, dtype, c.tokens, c.outputs, 1, 1e-3, 4);
      Twin x(device, dtype, c.tokens, c.inputs, 2, 1, 2);
      Twin dw = Twin::zeros(device, DType::i64, c.outputs, c.inputs, 3);
      for (std::int64_t i = 0; i < c.outputs * c.inputs; i += 5) dw.set_integer(i, i - 7);
      dw.upload();
      Verdict host_verdict;
      Verdict verdict;
      host.products->weight_gradient({.dy = dy.host(),
                                      .x = x.host(),
                                      .dw = dw.host(),
                                      .grain = c.grain,
                                      .shift = kShift,
                                      .verdict = &host_verdict});
      device.products(ProductMode::cpu)
          .weight_gradient({.dy = dy.device(),
                            .x = x.device(),
                            .dw = dw.device(),
                            .grain = c.grain,
                            .shift = kShift,
                            .verdict = &verdict});
      device.wait();
      dw.expect_equal(
          findings, fmt::format("weight gradient {}x{}x{} grain {}", c.tokens, c.outputs, c.inputs, c.grain));
      findings.expect(!verdict.bad() && !host_verdict.bad(), "weight gradient: declared bad");
    }
  }
}

void bias_gradients_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const std::int64_t rows : {1, 32, 100, 5000}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Twin dy(device, dtype, rows, 200, 1, 1e-2, 3);
      Twin db = Twin::zeros(device, DType::i64, 1, 200);
      Verdict host_verdict;
      Verdict verdict;
      host.products->bias_gradient(
          {.dy = dy.host(), .db = db.host_vector(), .shift = kShift, .verdict = &host_verdict});
      device.products(ProductMode::fast)
          .bias_gradient({.dy = dy.device(), .db = db.device_vector(), .shift = kShift, .verdict = &verdict});
      device.wait();
      db.expect_equal(findings, fmt::format("bias gradient of {} rows", rows));
      findings.expect(!verdict.bad(), "bias gradient: declared bad");
    }
  }
}

void a_contribution_out_of_range_is_declared_bad(CheckedDevice& device, Findings& findings) {
  for (const ProductMode mode : {ProductMode::cpu, ProductMode::fast}) {
    for (const float value : {NAN, INFINITY, 0x1p20f, 0x1p18f}) {
      Twin dy = Twin::zeros(device, DType::bf16, 16, 20);
      Twin x = Twin::zeros(device, DType::bf16, 16, 30);
      dy.set(9, 19, value);
      dy.upload();
      x.set(9, 29, 1.0f);
      x.upload();
      Twin dw = Twin::zeros(device, DType::i64, 20, 30);
      Verdict verdict;
      device.products(mode).weight_gradient({.dy = dy.device(),
                                             .x = x.device(),
                                             .dw = dw.device(),
                                             .grain = 8,
                                             .shift = 30,
                                             .verdict = &verdict});
      Twin db = Twin::zeros(device, DType::i64, 1, 20);
      Verdict bias_verdict;
      device.products(mode).bias_gradient(
          {.dy = dy.device(), .db = db.device_vector(), .shift = 30, .verdict = &bias_verdict});
      device.wait();
      // The limits are 8 * 2^16 and 16 * 2^16.
      findings.expect(verdict.bad() == (value != 0x1p18f), fmt::format("verdict on a grain of {}", value));
      findings.expect(bias_verdict.bad() == (value != 0x1p18f),
                      fmt::format("verdict on a block of {}", value));
    }
  }
}

// Small integers: every order of every sum is exact, so a wrong index is the only way to differ from the CPU.
void whole_numbers(Twin& twin, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) twin.set(r, c, std::nearbyint(2 * twin.at(r, c)));
  }
  twin.upload();
}

void tensor_cores_multiply_whole_numbers_exactly(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const Case& c : cases(device)) {
    for (const bool padded : {true, false}) {
      RowProducts products(device, c, DType::bf16, DType::f32, padded);
      whole_numbers(products.x, c.tokens, c.inputs);
      whole_numbers(products.w, c.outputs, c.inputs);
      whole_numbers(products.dy, c.tokens, c.outputs);
      products.on_host(*host.products, c, false);
      products.on_device(device.products(ProductMode::fast), c, false);
      products.y.expect_equal(findings, describe(c, "forward"));
      products.dx.expect_equal(findings, describe(c, "input gradient"));
    }
  }
  for (const GradientCase& c : gradient_cases(device)) {
    Twin dy(device, DType::bf16, c.tokens, c.outputs, 1, 1, 8);
    Twin x(device, DType::bf16, c.tokens, c.inputs, 2, 1, 1);
    whole_numbers(dy, c.tokens, c.outputs);
    whole_numbers(x, c.tokens, c.inputs);
    Twin dw = Twin::zeros(device, DType::i64, c.outputs, c.inputs);
    Verdict verdict;
    host.products->weight_gradient({.dy = dy.host(),
                                    .x = x.host(),
                                    .dw = dw.host(),
                                    .grain = c.grain,
                                    .shift = kShift,
                                    .verdict = &verdict});
    device.products(ProductMode::fast)
        .weight_gradient({.dy = dy.device(),
                          .x = x.device(),
                          .dw = dw.device(),
                          .grain = c.grain,
                          .shift = kShift,
                          .verdict = &verdict});
    device.wait();
    dw.expect_equal(findings, fmt::format("weight gradient {}x{}x{}", c.tokens, c.outputs, c.inputs));
  }
}

// One element's chain: a leaf's terms in steps of sixteen, ascending, each step's products and the sum added
// in fp64 and rounded once, as the emulated mma does; leaves joined pairwise.
template <class A, class B>
float chain_of_steps(const SumOrder& order, std::int64_t dimension, const A& a, const B& b) {
  const cuda::ChainMap chain = cuda::chain_of_leaves(order, dimension);
  std::vector<float> leaves;
  for (std::int64_t leaf = 0; leaf < chain.segments; ++leaf) {
    float sum = 0;
    for (std::int64_t begin = 0; begin < chain.length; begin += 16) {
      double step = sum;
      for (std::int64_t place = begin; place < std::min(begin + 16, chain.length); ++place) {
        std::int64_t run = 0;
        const std::int64_t i = chain.source(leaf, place, &run);
        step += static_cast<double>(a(i)) * b(i);
      }
      sum = static_cast<float>(step);
    }
    leaves.push_back(sum);
  }
  while (leaves.size() > 1) {
    std::vector<float> joined;
    for (std::size_t i = 0; i < leaves.size(); i += 2) joined.push_back(leaves[i] + leaves[i + 1]);
    leaves = joined;
  }
  return leaves[0];
}

// On a GPU a step's own rounding is the chip's: there the sum may be a step's rounding away per step, and a
// truncated alignment within it.
void tensor_cores_take_the_promised_chain(CheckedDevice& device, Findings& findings) {
  for (const Case& c : cases(device)) {
    if (c.tokens > 200) continue;
    RowProducts products(device, c, DType::bf16, DType::f32, true);
    products.on_device(device.products(ProductMode::fast), c, false);
    products.y.download();
    products.dx.download();
    const auto compare = [&](const char* what, const SumOrder& order, std::int64_t terms, float got,
                             const auto& a, const auto& b) {
      const float expected = chain_of_steps(order, terms, a, b);
      double magnitude = 0;
      for (std::int64_t i = 0; i < terms; ++i) magnitude += std::fabs(static_cast<double>(a(i)) * b(i));
      const double steps = static_cast<double>(terms) / 16 + order.leaves + 1;
      const double allowed = device.emulated() ? 0 : 2 * steps * 0x1p-23 * magnitude;
      findings.expect(std::fabs(got - expected) <= allowed,
                      fmt::format("{}: {:a} instead of {:a}", describe(c, what), got, expected));
    };
    for (std::int64_t m = 0; m < c.tokens; ++m) {
      for (std::int64_t n = 0; n < c.outputs; ++n) {
        compare(
            "forward", c.forward, c.inputs, products.y.at(m, n),
            [&](std::int64_t i) { return products.x.at(m, i); },
            [&](std::int64_t i) { return products.w.at(n, i); });
      }
      for (std::int64_t k = 0; k < c.inputs; ++k) {
        compare(
            "input gradient", c.backward, c.outputs, products.dx.at(m, k),
            [&](std::int64_t i) { return products.dy.at(m, i); },
            [&](std::int64_t i) { return products.w.at(i, k); });
      }
    }
  }
}

// Any algorithm, the library's among them: a few thousand elements of each shape.
void products_are_close_to_float64(CheckedDevice& device, Findings& findings) {
  for (const Case& c : cases(device)) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      RowProducts products(device, c, dtype, DType::f32, false);
      products.on_device(device.products(ProductMode::fast), c, false);
      products.y.download();
      products.dx.download();
      std::mt19937 random(3);
      const auto compare = [&](const char* what, std::int64_t terms, float got, const auto& a,
                               const auto& b) {
        double sum = 0;
        double magnitude = 0;
        for (std::int64_t i = 0; i < terms; ++i) {
          const double product = static_cast<double>(a(i)) * b(i);
          sum += product;
          magnitude += std::fabs(product);
        }
        // A rounding per term of a running sum no larger than the sum of magnitudes.
        findings.expect(std::fabs(got - sum) <= static_cast<double>(terms) * 0x1p-23 * magnitude,
                        fmt::format("{} {}: {} instead of {}", describe(c, what), name_of(dtype), got, sum));
      };
      for (int i = 0; i < 2000; ++i) {
        const auto m = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(c.tokens));
        const auto n = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(c.outputs));
        const auto k = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(c.inputs));
        compare(
            "forward", c.inputs, products.y.at(m, n), [&](std::int64_t t) { return products.x.at(m, t); },
            [&](std::int64_t t) { return products.w.at(n, t); });
        compare(
            "input gradient", c.outputs, products.dx.at(m, k),
            [&](std::int64_t t) { return products.dy.at(m, t); },
            [&](std::int64_t t) { return products.w.at(t, k); });
      }
    }
  }
}

// The promise that decoding, prefill and training agree: every row of a large product has the bits it has in
// a small one, wherever it stands.
void rows_are_equal_for_every_number_of_rows(CheckedDevice& device, Findings& findings) {
  const std::int64_t most = device.emulated() ? 150 : 8192;
  std::vector<Case> shapes = {{most, 136, 64, {}, {}}, {most, 64, 48, {.leaves = 8}, {.leaves = 16}}};
  if (!device.emulated()) {
    shapes = {{most, 768, 768, {}, {}},
              {most, 2304, 768, {}, {.leaves = 8, .members = {768, 768, 768}}},
              {most, 768, 3072, {.leaves = 8}, {}},
              {most, 4096, 4096, {}, {}},
              {most, 1003, 520, {}, {}}};
  }
  for (const ProductMode mode : {ProductMode::fast, ProductMode::cpu}) {
    for (const DType dtype : {DType::bf16, DType::f32}) {
      for (const Case& c : shapes) {
        RowProducts whole(device, c, dtype, DType::f32, false);
        MatmulOps& ops = device.products(mode);
        whole.on_device(ops, c, false);
        whole.y.download();
        whole.dx.download();
        for (const std::int64_t rows : {1, 7, 64, 1024}) {
          if (rows > most) continue;
          for (const std::int64_t first : {std::int64_t{0}, most / 2 - rows / 2, most - rows}) {
            Twin y = Twin::zeros(device, DType::f32, rows, c.outputs);
            Twin dx = Twin::zeros(device, DType::f32, rows, c.inputs);
            ops.forward({.x = whole.x.device().row_slice(first, rows),
                         .w = whole.w.device(),
                         .bias = {},
                         .y = y.device(),
                         .order = c.forward});
            ops.input_gradient({.dy = whole.dy.device().row_slice(first, rows),
                                .w = whole.w.device(),
                                .dx = dx.device(),
                                .order = c.backward});
            y.download();
            dx.download();
            bool equal = true;
            for (std::int64_t r = 0; r < rows; ++r) {
              for (std::int64_t n = 0; n < c.outputs; ++n) equal &= y.at(r, n) == whole.y.at(first + r, n);
              for (std::int64_t k = 0; k < c.inputs; ++k) equal &= dx.at(r, k) == whole.dx.at(first + r, k);
            }
            findings.expect(equal, fmt::format("{} {}: rows {} to {} differ when alone", describe(c, "rows"),
                                               name_of(dtype), first, first + rows));
          }
        }
      }
    }
  }
}

// Results that become denormal, or nearly: both sides flush to zero, and agree on what is too small.
void multiply_adds_flush_denormals_as_the_cpu_does(CheckedDevice& device, Findings& findings) {
  Host host;
  constexpr std::int64_t kSide = 64;
  Twin x = Twin::zeros(device, DType::f32, kSide, 2);
  Twin w = Twin::zeros(device, DType::f32, kSide, 2);
  std::mt19937 random(7);
  for (std::int64_t i = 0; i < kSide; ++i) {
    const auto fraction = [&] { return 1.0f + static_cast<float>(random() >> 9) * 0x1p-23f; };
    x.set(i, 0, std::ldexp(fraction(), -63 - static_cast<int>(i % 3)));
    w.set(i, 0, std::ldexp(fraction(), -64 + static_cast<int>(i % 4)));
    x.set(i, 1, std::ldexp(fraction(), -62));
    w.set(i, 1, -std::ldexp(fraction(), -64));
  }
  // Products that round up to the least normal number, and operands below it.
  x.set(0, 0, std::nextafter(1.0f, 0.0f));
  w.set(0, 0, 0x1p-126f);
  x.set(1, 0, std::nextafter(1.0f, 2.0f));
  w.set(1, 0, std::nextafter(0x1p-126f, 0.0f));
  x.set(0, 1, 0.0f);
  x.set(1, 1, 0.0f);
  x.upload();
  w.upload();
  Twin y = Twin::zeros(device, DType::f32, kSide, kSide);
  host.products->forward({.x = x.host(), .w = w.host(), .bias = {}, .y = y.host(), .order = {}});
  device.products(ProductMode::cpu)
      .forward({.x = x.device(), .w = w.device(), .bias = {}, .y = y.device(), .order = {}});
  y.expect_equal(findings, "products near underflow");
}

constexpr KernelCheck kChecks[] = {
    {"multiply-adds have the CPU's bits", multiply_adds_have_the_cpus_bits},
    {"fp32 products have the CPU's bits in fast mode too", fp32_products_have_the_cpus_bits_in_fast_mode_too},
    {"multiply-adds flush denormals as the CPU does", multiply_adds_flush_denormals_as_the_cpu_does},
    {"weight gradients by multiply-adds have the CPU's bits", weight_gradients_have_the_cpus_bits},
    {"bias gradients have the CPU's bits", bias_gradients_have_the_cpus_bits},
    {"a contribution out of range is declared bad", a_contribution_out_of_range_is_declared_bad},
    {"tensor cores multiply whole numbers exactly", tensor_cores_multiply_whole_numbers_exactly},
    {"tensor cores take the promised chain", tensor_cores_take_the_promised_chain},
    {"products are close to float64", products_are_close_to_float64},
    {"rows are equal for every number of rows", rows_are_equal_for_every_number_of_rows},
};

}  // namespace

std::span<const KernelCheck> product_checks() {
  return kChecks;
}

}  // namespace megalith::test
