// A trained model ready to compute: what every verb that takes MODEL starts with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.h"
#include "device/device.h"
#include "model/transformer.h"
#include "run/model_location.h"
#include "train/train_config.h"

namespace megalith::app {

// Not movable: the transformer points into the parameters.
struct LoadedModel {
  LoadedModel(TrainConfig config_, std::unique_ptr<Device> device_);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  TrainConfig config;
  std::unique_ptr<Device> device;
  Parameters parameters;
  Transformer transformer;
  std::optional<Tokenizer> tokenizer;
  std::int64_t step = 0;
  // Of somebody's weights: what their tokenizer puts before every text, and the ids that end one.
  std::vector<std::int32_t> prompt_begin, end_ids;
};

// MODEL as model_location.h defines it. `threads` 0 takes every usable one. `weights` is what the products
// multiply. Complains on stderr about newer checkpoints that are damaged.
Expected<std::unique_ptr<LoadedModel>> load_model(const std::string& argument, std::int64_t threads,
                                                  WeightFormat weights);

// The CPU device with the kernel family MEGALITH_ISA names or the machine suggests.
Expected<std::unique_ptr<Device>> open_device(std::int64_t threads);

}  // namespace megalith::app
