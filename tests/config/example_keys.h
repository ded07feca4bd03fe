// A small config with one key of every type, for the registry's tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/registry.h"

namespace megalith {

enum class Colour : std::uint8_t { red, green };

struct Example {
  std::int64_t global = 8;
  int tree = 8;
  double rate = 0.001;
  double clip = 1.0;
  std::string name = "none";
  Colour colour = Colour::red;
  bool tied = true;
  std::vector<std::string> files = {"a"};
  std::uint64_t seed = 1;
};

struct ExampleConfig {
  ExampleConfig() {
    registry.section("", "Top.");
    registry.section("batch", "What a step sees.");
    registry.section("model", "The shape.");
    registry.integer("seed", values.seed, {.help = "Seed of everything random."});
    registry.integer("batch.global", values.global,
                     {.min = 1, .max = 4096, .unit = "sequences", .help = "Sequences per step."});
    registry.real("batch.rate", values.rate,
                  {.min = 0, .max = 10, .min_excluded = true, .help = "Peak rate."});
    registry.real("batch.clip", values.clip,
                  {.min = 0, .max = 100, .min_excluded = true, .zero = "off", .help = "Norm."});
    registry.integer("model.tree", values.tree,
                     {.min = 1, .max = 64, .power_of_two = true, .help = "Leaves."});
    registry.text("model.name", values.name,
                  {.empty = "unnamed", .max_bytes = 20, .help = "A name.", .may_change_on_resume = true});
    registry.choice("model.colour", values.colour, {{"red", Colour::red}, {"green", Colour::green}},
                    {.help = "Paint."});
    registry.boolean("model.tied", values.tied, {.help = "One table | not two."});
    registry.text_list("model.files", values.files, {.help = "Files."});
  }
  Example values;
  Registry registry;
};

}  // namespace megalith
