// What the measured price of exact bits makes plan check and the doctor say.

#include "app/plan/exact_price.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/doctor/check.h"
#include "device/cpu/cpu_device.h"

namespace megalith::app {
namespace {

// Weight gradients are half of a step; fast takes 1 s.
ExactPrice price(std::int64_t chosen, std::vector<ExactPrice::OfGrain> grains) {
  return {.tokens = 4096, .fast_seconds = 1, .share = 0.5, .chosen = chosen, .grains = std::move(grains)};
}

TEST(ExactPrice, OfTheConfigsGrainIsTheDoctorsConcernFromATenthOfAStepOn) {
  const std::vector<ExactPrice::OfGrain> grains = {{256, 1.4}, {512, 1.19}, {1024, 1.02}};
  const Check dear = grain_check(price(256, grains), "my.toml");
  EXPECT_EQ(dear.state, CheckState::warning);
  EXPECT_EQ(dear.found,
            "price of a step by numerics.grain, in tokens: +20.0% at 256, +9.5% at 512, +1.0% at 1024");
  EXPECT_EQ(dear.why, "less than 10% from 512 on, by weight gradients of my.toml");
  EXPECT_EQ(dear.to_do, "numerics.grain = 512");
  for (const std::int64_t cheap : {512, 1024, 8192}) {  // beyond the largest: no dearer than that
    const Check check = grain_check(price(cheap, grains), "my.toml");
    EXPECT_EQ(check.state, CheckState::ok) << cheap;
    EXPECT_EQ(check.to_do, "") << cheap;
  }
}

TEST(ExactPrice, ThatNoGrainBringsBelowATenthIsSaid) {
  const ExactPrice everywhere = price(256, {{256, 1.5}, {512, 1.3}, {1024, 1.4}});
  EXPECT_EQ(everywhere.smallest_cheap(), nullptr);
  EXPECT_EQ(everywhere.best().grain, 512);
  const Check check = grain_check(everywhere, "");
  EXPECT_EQ(check.state, CheckState::warning);
  EXPECT_NE(check.why.find("10% or more at every grain, by weight gradients of GPT-2 124M"),
            std::string::npos);
  EXPECT_NE(check.to_do.find("fast"), std::string::npos);
  EXPECT_NE(describe(everywhere).find("least with numerics.grain = 512;"), std::string::npos);
  EXPECT_TRUE(json_of(everywhere)["below_a_tenth_from"].is_null());
  EXPECT_NE(describe(price(256, {{256, 1.1}})).find("less than 10% of a step from numerics.grain = 256 on;"),
            std::string::npos);
}

TEST(ExactPrice, IsMeasuredForTheConfigsGrainAndForLargeOnes) {
  TrainConfig config;
  config.model.hidden = 32;
  config.model.sequence = 64;
  config.batch.micro = 12;
  config.batch.global = 12;
  config.numerics.grain = 32;
  resolve(config);
  const std::unique_ptr<Device> device = cpu::make_device(1, cpu::available_isas().back());
  std::vector<std::int64_t> grains;
  const ExactPrice measured = measure_exact_price(config, *device);
  for (const ExactPrice::OfGrain& grain : measured.grains) grains.push_back(grain.grain);
  EXPECT_EQ(grains, (std::vector<std::int64_t>{32, 256, 384, 768}));  // of 12 sequences of 64
  EXPECT_GE(measured.tries, 1);
}

}  // namespace
}  // namespace megalith::app
