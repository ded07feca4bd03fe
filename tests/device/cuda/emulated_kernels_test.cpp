// The CUDA device's operations, plans and kernels, thread for thread on fibres, against the CPU device.
// Planted bugs show that each kind of check can fail.

#include <gtest/gtest.h>

#include "device/cuda/emulated_device.h"

namespace megalith::test {
namespace {

std::vector<KernelCheck> all_checks() {
  std::vector<KernelCheck> checks;
  for (const auto& part : {rowwise_checks(), optimizer_checks(), product_checks()}) {
    checks.insert(checks.end(), part.begin(), part.end());
  }
  return checks;
}

class EmulatedKernels : public testing::TestWithParam<KernelCheck> {};

TEST_P(EmulatedKernels, PassTheirChecks) {
  EmulatedDevice<> device;
  Findings findings;
  GetParam().run(device, findings);
  for (const std::string& problem : findings.problems()) ADD_FAILURE() << problem;
}

std::string test_name(const testing::TestParamInfo<KernelCheck>& info) {
  std::string name;
  for (const char* c = info.param.name; *c != '\0'; ++c) {
    if (std::isalnum(static_cast<unsigned char>(*c)) != 0) name += *c;
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, EmulatedKernels, testing::ValuesIn(all_checks()), test_name);

// Whether the check of this name finds something wrong with a launcher.
template <class Launcher>
bool finds(const std::string& name) {
  for (const KernelCheck& check : all_checks()) {
    if (check.name != name) continue;
    EmulatedDevice<Launcher> device;
    Findings findings;
    check.run(device, findings);
    return !findings.problems().empty();
  }
  ADD_FAILURE() << "no check is called " << name;
  return false;
}

class ChangedEpsilon final : public EmulatedLauncher {
 public:
  using EmulatedLauncher::launch;
  void launch(const LaunchPlan& plan, const cuda::NormForwardArgs<bf16>& args) override {
    cuda::NormForwardArgs<bf16> changed = args;
    changed.epsilon *= 2;
    EmulatedLauncher::launch(plan, changed);
  }
};

class ForgottenLastBlock final : public EmulatedLauncher {
 public:
  using EmulatedLauncher::launch;
  void launch(const LaunchPlan& plan, int vector, const cuda::AdamArgs<bf16>& args) override {
    LaunchPlan shorter = plan;
    if (shorter.blocks_x > 1) --shorter.blocks_x;
    EmulatedLauncher::launch(shorter, vector, args);
  }
};

// Half of the leaves.
class ForgottenLeaves final : public EmulatedLauncher {
 public:
  void multiply_tensor_cores(const cuda::ProductLaunch& how, const cuda::ProductArgs<bf16>& args) override {
    cuda::ProductArgs<bf16> changed = args;
    if (how.form == cuda::ProductForm::forward && args.chain.segments == 8) changed.chain.segments = 4;
    EmulatedLauncher::multiply_tensor_cores(how, changed);
  }
};

// A row's chain that depends on how many rows there are.
class ChainByRows final : public EmulatedLauncher {
 public:
  void multiply_tensor_cores(const cuda::ProductLaunch& how, const cuda::ProductArgs<bf16>& args) override {
    cuda::ProductArgs<bf16> changed = args;
    if (how.form != cuda::ProductForm::weight_gradient && args.chain.segments == 1 && args.a.extent < 100) {
      // The second half first.
      const std::int64_t half = args.chain.length / 32 * 16;
      changed.chain.begin[0] = half;
      changed.chain.count[0] = args.chain.length - half;
      changed.chain.begin[1] = 0;
      changed.chain.count[1] = half;
    }
    EmulatedLauncher::multiply_tensor_cores(how, changed);
  }
};

TEST(EmulatedChecks, FindAChangedNumber) {
  EXPECT_TRUE(finds<ChangedEpsilon>("norms have the CPU's bits"));
}
TEST(EmulatedChecks, FindAForgottenBlock) {
  EXPECT_TRUE(finds<ForgottenLastBlock>("AdamW has the CPU's bits"));
}
TEST(EmulatedChecks, FindForgottenLeaves) {
  EXPECT_TRUE(finds<ForgottenLeaves>("tensor cores take the promised chain"));
}
TEST(EmulatedChecks, FindAChainThatDependsOnTheNumberOfRows) {
  EXPECT_TRUE(finds<ChainByRows>("rows are equal for every number of rows"));
}

}  // namespace
}  // namespace megalith::test
