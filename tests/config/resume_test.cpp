#include <gtest/gtest.h>

#include "config/example_keys.h"

namespace megalith {
namespace {

TEST(Resume, KeysThatMayChangeMayAndOthersAreNamed) {
  ExampleConfig frozen;
  ExampleConfig wanted;
  ASSERT_TRUE(set(wanted.registry, "model.name=other"));
  EXPECT_TRUE(check_resume(frozen.registry, wanted.registry));
  ASSERT_TRUE(set(wanted.registry, "batch.global=16"));
  ASSERT_TRUE(set(wanted.registry, "seed=2"));
  const auto checked = check_resume(frozen.registry, wanted.registry);
  ASSERT_FALSE(checked);
  ASSERT_EQ(checked.error().size(), 2U);
  EXPECT_EQ(checked.error()[0].where, "--set seed");
  EXPECT_EQ(checked.error()[1].allowed, "8, as the run began: this key is frozen with the run");
}

}  // namespace
}  // namespace megalith
