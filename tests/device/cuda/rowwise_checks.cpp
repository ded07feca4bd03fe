// Norms and activations: the bits of the CPU device.
#include "device/cpu/cpu_device.h"
#include "device/cuda/checked_device.h"
#include "reference/elementwise_reference.h"

namespace megalith::test {
namespace {

constexpr int kShift = 30;

struct Host {
  ThreadPool pool{1};
  std::unique_ptr<ElementwiseOps> elementwise = cpu::make_elementwise(pool, cpu::available_isas().back());
};

struct NormCase {
  Norm norm;
  DType dtype;
  std::int64_t rows, columns, extra;
  bool bias;
};

std::vector<NormCase> norm_cases(const CheckedDevice& device) {
  std::vector<NormCase> cases;
  for (const Norm norm : {Norm::layer, Norm::rms}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const std::int64_t columns : {1, 2, 15, 16, 17, 33, 100, 768}) {
        cases.push_back({norm, dtype, 40, columns, 3, norm == Norm::layer});
      }
      cases.push_back({norm, dtype, 1, 768, 0, norm == Norm::layer});
      if (device.emulated()) continue;
      cases.push_back({norm, dtype, 4096, 4096, 0, norm == Norm::layer});
      cases.push_back({norm, dtype, 1000, 12288, 8, false});
      cases.push_back({norm, dtype, 70000, 64, 0, norm == Norm::layer});
    }
  }
  return cases;
}

std::string describe(const NormCase& c) {
  return fmt::format("{} norm {} {}x{}", c.norm == Norm::layer ? "layer" : "rms", name_of(c.dtype), c.rows,
                     c.columns);
}

void norms_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const NormCase& c : norm_cases(device)) {
    Twin x(device, c.dtype, c.rows, c.columns, 1, 2, c.extra);
    Twin gain(device, DType::f32, 1, c.columns, 2);
    Twin bias(device, DType::f32, 1, c.columns, 3);
    Twin y(device, c.dtype, c.rows, c.columns, 4, 1, c.extra + 1);
    Twin mean(device, DType::f32, 1, c.rows, 5);
    Twin rstd(device, DType::f32, 1, c.rows, 6);
    host.elementwise->forward(NormForward{.norm = c.norm,
                                          .x = x.host(),
                                          .gain = gain.host_vector(),
                                          .bias = c.bias ? bias.host_vector() : Tensor{},
                                          .y = y.host(),
                                          .mean = mean.host_vector(),
                                          .rstd = rstd.host_vector()});
    device.elementwise().forward(NormForward{.norm = c.norm,
                                             .x = x.device(),
                                             .gain = gain.device_vector(),
                                             .bias = c.bias ? bias.device_vector() : Tensor{},
                                             .y = y.device(),
                                             .mean = mean.device_vector(),
                                             .rstd = rstd.device_vector()});
    y.expect_equal(findings, describe(c) + ", y");
    mean.expect_equal(findings, describe(c) + ", mean");
    rstd.expect_equal(findings, describe(c) + ", rstd");
  }
}

void norms_backward_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const NormCase& c : norm_cases(device)) {
    for (const bool residual : {false, true}) {
      Twin x(device, c.dtype, c.rows, c.columns, 1, 2, c.extra);
      Twin dy(device, c.dtype, c.rows, c.columns, 2, 1e-2, c.extra);
      Twin gain(device, DType::f32, 1, c.columns, 3);
      Twin mean(device, DType::f32, 1, c.rows, 4, 0.1);
      Twin rstd(device, DType::f32, 1, c.rows, 5, 0.5);
      Twin dx(device, c.dtype, c.rows, c.columns, 6, 1, c.extra + 2);
      Twin dgain = Twin::zeros(device, DType::i64, 1, c.columns);
      Twin dbias = Twin::zeros(device, DType::i64, 1, c.columns);
      Verdict host_verdict;
      Verdict verdict;
      host.elementwise->backward(NormBackward{.norm = c.norm,
                                              .dy = dy.host(),
                                              .x = x.host(),
                                              .mean = mean.host_vector(),
                                              .rstd = rstd.host_vector(),
                                              .gain = gain.host_vector(),
                                              .residual_gradient = residual ? dx.host() : Tensor{},
                                              .dx = dx.host(),
                                              .dgain = dgain.host_vector(),
                                              .dbias = c.bias ? dbias.host_vector() : Tensor{},
                                              .shift = kShift,
                                              .verdict = &host_verdict});
      device.elementwise().backward(NormBackward{.norm = c.norm,
                                                 .dy = dy.device(),
                                                 .x = x.device(),
                                                 .mean = mean.device_vector(),
                                                 .rstd = rstd.device_vector(),
                                                 .gain = gain.device_vector(),
                                                 .residual_gradient = residual ? dx.device() : Tensor{},
                                                 .dx = dx.device(),
                                                 .dgain = dgain.device_vector(),
                                                 .dbias = c.bias ? dbias.device_vector() : Tensor{},
                                                 .shift = kShift,
                                                 .verdict = &verdict});
      device.wait();
      dx.expect_equal(findings, describe(c) + ", dx");
      dgain.expect_equal(findings, describe(c) + ", dgain");
      dbias.expect_equal(findings, describe(c) + ", dbias");
      findings.expect(!host_verdict.bad() && !verdict.bad(), describe(c) + ": declared bad");
    }
  }
}

void a_norm_gradient_out_of_range_is_declared_bad(CheckedDevice& device, Findings& findings) {
  for (const float value : {NAN, INFINITY, 33 * 65536.0f, 30 * 65536.0f}) {
    constexpr std::int64_t kRows = 40;
    Twin x(device, DType::f32, kRows, 20, 1);
    Twin dy(device, DType::f32, kRows, 20, 2);
    dy.set(17, 13, value);
    dy.upload();
    Twin gain(device, DType::f32, 1, 20, 3);
    Twin mean = Twin::zeros(device, DType::f32, 1, kRows);
    Twin rstd = Twin::zeros(device, DType::f32, 1, kRows);  // zero: only dbias sees dy
    Twin dx = Twin::zeros(device, DType::f32, kRows, 20);
    Twin dgain = Twin::zeros(device, DType::i64, 1, 20);
    Twin dbias = Twin::zeros(device, DType::i64, 1, 20);
    Verdict verdict;
    device.elementwise().backward(NormBackward{.dy = dy.device(),
                                               .x = x.device(),
                                               .mean = mean.device_vector(),
                                               .rstd = rstd.device_vector(),
                                               .gain = gain.device_vector(),
                                               .residual_gradient = {},
                                               .dx = dx.device(),
                                               .dgain = dgain.device_vector(),
                                               .dbias = dbias.device_vector(),
                                               .shift = kShift,
                                               .verdict = &verdict});
    device.wait();
    findings.expect(verdict.bad() == (value != 30 * 65536.0f), fmt::format("verdict on {}", value));
  }
}

struct ActivationCase {
  Activation activation;
  DType dtype, gradient;
  std::int64_t rows, columns, extra;
};

std::vector<ActivationCase> activation_cases(const CheckedDevice& device) {
  std::vector<ActivationCase> cases;
  const std::pair<DType, DType> types[] = {
      {DType::f32, DType::f32}, {DType::bf16, DType::f32}, {DType::bf16, DType::bf16}};
  for (const Activation activation :
       {Activation::gelu_tanh, Activation::gelu_erf, Activation::swiglu, Activation::geglu}) {
    for (const auto& [dtype, gradient] : types) {
      for (const std::int64_t columns : {1, 8, 17, 96, 3072}) {
        cases.push_back({activation, dtype, gradient, 3, columns, 0});
        cases.push_back({activation, dtype, gradient, 3, columns, 5});
      }
      if (!device.emulated()) cases.push_back({activation, dtype, gradient, 70000, 1024, 0});
    }
  }
  return cases;
}

// Large, tiny, and everything between.
void spread(Twin& x, std::int64_t columns) {
  const float special[] = {0.0f,   -0.0f, 30.0f,    -30.0f,    88.0f,    -88.0f,    1e-20f,
                           -1e-3f, 3e38f, -3.3e38f, 0x1p-126f, INFINITY, -INFINITY, NAN};
  std::int64_t i = 0;
  for (const float value : special) {
    if (i < columns) x.set(0, i++, value);
  }
  x.upload();
}

void activations_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const ActivationCase& c : activation_cases(device)) {
    const std::int64_t parts = is_gated(c.activation) ? 2 : 1;
    const std::string what = fmt::format("activation {} {} {}x{}", static_cast<int>(c.activation),
                                         name_of(c.dtype), c.rows, c.columns);
    Twin x(device, c.dtype, c.rows, parts * c.columns, 1, 3, c.extra);
    spread(x, parts * c.columns);
    Twin y(device, c.dtype, c.rows, c.columns, 2, 1, c.extra);
    Twin dy(device, c.gradient, c.rows, c.columns, 3, 1, c.extra);
    Twin dx(device, c.dtype, c.rows, parts * c.columns, 4, 1, c.extra);
    host.elementwise->forward(ActivationForward{.activation = c.activation, .x = x.host(), .y = y.host()});
    device.elementwise().forward(
        ActivationForward{.activation = c.activation, .x = x.device(), .y = y.device()});
    y.expect_equal(findings, what + ", y");
    host.elementwise->backward(
        ActivationBackward{.activation = c.activation, .x = x.host(), .dy = dy.host(), .dx = dx.host()});
    device.elementwise().backward(ActivationBackward{
        .activation = c.activation, .x = x.device(), .dy = dy.device(), .dx = dx.device()});
    dx.expect_equal(findings, what + ", dx");
    host.elementwise->backward(
        ActivationBackward{.activation = c.activation, .x = x.host(), .dy = dy.host(), .dx = x.host()});
    device.elementwise().backward(
        ActivationBackward{.activation = c.activation, .x = x.device(), .dy = dy.device(), .dx = x.device()});
    x.expect_equal(findings, what + ", dx in place");
  }
}

// The CPU device is compared with float64 in its own tests; this is the device's own line to it.
void norms_and_gelu_are_close_to_float64(CheckedDevice& device, Findings& findings) {
  constexpr std::int64_t kRows = 9;
  constexpr std::int64_t kColumns = 100;
  Twin x(device, DType::f32, kRows, kColumns, 1, 2);
  Twin gain(device, DType::f32, 1, kColumns, 2);
  Twin bias(device, DType::f32, 1, kColumns, 3);
  Twin y = Twin::zeros(device, DType::f32, kRows, kColumns);
  Twin mean = Twin::zeros(device, DType::f32, 1, kRows);
  Twin rstd = Twin::zeros(device, DType::f32, 1, kRows);
  const auto row_of = [](const Twin& twin, std::int64_t row) {
    reference::Row values;
    for (std::int64_t c = 0; c < kColumns; ++c) values.push_back(twin.at(row, c));
    return values;
  };
  const auto compare = [&](const char* what, float got, double expected) {
    findings.expect(std::fabs(got - expected) <= 0x1p-21 * (std::fabs(expected) + 1),
                    fmt::format("{}: {} instead of {}", what, got, expected));
  };
  for (const Norm norm : {Norm::layer, Norm::rms}) {
    device.elementwise().forward(NormForward{.norm = norm,
                                             .x = x.device(),
                                             .gain = gain.device_vector(),
                                             .bias = norm == Norm::layer ? bias.device_vector() : Tensor{},
                                             .y = y.device(),
                                             .mean = mean.device_vector(),
                                             .rstd = rstd.device_vector()});
    y.download();
    for (std::int64_t r = 0; r < kRows; ++r) {
      const reference::Row expected =
          norm == Norm::layer ? reference::layer_norm(row_of(x, r), row_of(gain, 0), row_of(bias, 0), 1e-5)
                              : reference::rms_norm(row_of(x, r), row_of(gain, 0), 1e-5);
      for (std::int64_t c = 0; c < kColumns; ++c) {
        compare("norm", y.at(r, c), expected[static_cast<std::size_t>(c)]);
      }
    }
  }
  for (const bool erf : {false, true}) {
    device.elementwise().forward(ActivationForward{
        .activation = erf ? Activation::gelu_erf : Activation::gelu_tanh, .x = x.device(), .y = y.device()});
    y.download();
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        compare("GELU", y.at(r, c), reference::gelu(erf, x.at(r, c)));
      }
    }
  }
}

constexpr KernelCheck kChecks[] = {
    {"norms have the CPU's bits", norms_have_the_cpus_bits},
    {"norms backward have the CPU's bits", norms_backward_have_the_cpus_bits},
    {"a norm gradient out of range is declared bad", a_norm_gradient_out_of_range_is_declared_bad},
    {"norms and GELU are close to float64", norms_and_gelu_are_close_to_float64},
    {"activations and their slopes have the CPU's bits", activations_have_the_cpus_bits},
};

}  // namespace

std::span<const KernelCheck> rowwise_checks() {
  return kChecks;
}

}  // namespace megalith::test
