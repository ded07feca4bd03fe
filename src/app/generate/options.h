// The command line of `megalith generate`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "device/matmul.h"
#include "infer/sampler.h"

namespace CLI {
class App;
}

namespace megalith::app {

struct GenerateOptions {
  std::string model;
  std::string prompt;
  std::string prompt_file;
  std::optional<std::string> suffix;  // what stands behind the gap to fill; none: the prompt is continued
  std::vector<std::int32_t> prompt_ids;
  std::int64_t max_tokens = 128;
  SamplingSettings sampling{.temperature = 0.8, .top_p = 0.95};  // without the biases
  std::vector<std::string> logit_bias;                           // as they were typed
  std::int64_t num_samples = 1;
  std::int64_t best_of = 0;       // how many to draw; 0: num_samples
  std::int64_t alternatives = 0;  // named at each position
  std::vector<std::string> stop;
  std::int64_t threads = 0;
  std::string weights = "as-stored";  // as it was typed
  bool ignore_end = false;
  bool log_probabilities = false;
  bool json = false;
  bool interactive = false;
  bool keep_context = false;  // of a conversation
};

// Declares every option on `verb`; parsing fills `options`, which must outlive it.
void declare_generate_options(CLI::App& verb, GenerateOptions& options);

// Refused: options that contradict each other.
Expected<void> check_generate_options(const GenerateOptions& options);

// What --weights names. Refused: anything else.
Expected<WeightFormat> parse_weight_format(const std::string& typed);

// The biases of --logit-bias ID=VALUE. Refused: what is malformed, out of range or said twice.
Expected<std::vector<LogitBias>> parse_logit_bias(const std::vector<std::string>& typed);

// Refused: ids the model does not have, and a ban of everything.
Expected<void> check_logit_bias(const std::vector<LogitBias>& biases, std::int64_t vocabulary);

}  // namespace megalith::app
